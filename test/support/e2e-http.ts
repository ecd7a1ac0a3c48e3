/** Requests to an Envoy as a client sends them, and everything that it is told in answer. */
import { Agent, request as sendRequest, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { z } from "zod";
import { echoSchema, type Echo } from "../../dev/echo-api.js";

/** Longer than Envoy waits for a check; who gets no answer at all must fail and not hang. */
const ANSWER_TIMEOUT_MS = 20_000;
/** A little less than envoy.yaml grants a connection (250 ms) and a check (500 ms). */
const GIVEN_UP_AFTER_MS = 200;
/** For how long a request is asked again while the machine stands still. */
const STANDSTILL_MAX_MS = 20_000;
const STALE = "503 revocations_stale";

const problemSchema = z.strictObject({
  type: z.string(),
  title: z.string(),
  status: z.number(),
  code: z.string(),
});
export type Problem = z.infer<typeof problemSchema>;

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** The body, where it is `application/problem+json` (RFC 9457). */
  readonly problem: Problem | undefined;
  /** What the API saw, where the request reached it. */
  readonly echo: Echo | undefined;
  /** When the request was sent and its answer had arrived, by `performance.now()`. */
  readonly sentAtMs: number;
  readonly atMs: number;
}

export interface Ask {
  readonly token?: string;
  /** Name and value of each header, in order; repeated ones are sent as often. */
  readonly headers?: readonly (readonly [string, string])[];
  /** The node has a reason to be stale, so that this is an answer as any other. */
  readonly stale?: true;
}

/** "200", "401 session_revoked"; a refusal without a problem is a bare "503". */
export function describeReply({ status, problem }: Reply): string {
  return problem === undefined ? `${status}` : `${status} ${problem.code}`;
}

/**
 * Whether an undisturbed pod answers this only because the machine stood still: Envoy waited for the
 * node as long as it may, or the node for Redis. A 503 that comes at once is never of that kind.
 */
export function isStandstill(
  what: string,
  { sentAtMs, atMs }: { readonly sentAtMs: number; readonly atMs: number },
): boolean {
  return what === STALE || (what === "503" && atMs - sentAtMs >= GIVEN_UP_AFTER_MS);
}

/** Asks one Envoy over connections that it keeps open. */
export class HttpClient {
  readonly #url: URL;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(url: string) {
    this.#url = new URL(url);
  }

  /**
   * Sends the path as it stands, without making it regular first. Asked again while all that the
   * answer says is that the machine stood still.
   */
  async get(path: string, ask: Ask = {}): Promise<Reply> {
    const untilMs = performance.now() + STANDSTILL_MAX_MS;
    for (;;) {
      const reply = await this.getOnce(path, ask);
      const what = describeReply(reply);
      const settled = !isStandstill(what, reply) || (ask.stale === true && what === STALE);
      if (settled || performance.now() > untilMs) return reply;
    }
  }

  /** As `get`, whatever the answer is. */
  async getOnce(path: string, ask: Ask = {}): Promise<Reply> {
    const sentAtMs = performance.now();
    return new Promise((resolve, reject) => {
      const request = sendRequest({
        host: this.#url.hostname,
        port: this.#url.port,
        path,
        agent: this.#agent,
        headers: [
          ...["host", this.#url.host],
          ...(ask.token === undefined ? [] : ["authorization", `Bearer ${ask.token}`]),
          ...(ask.headers ?? []).flat(),
        ],
        signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
      });
      request.once("error", reject);
      request.once("response", (response) => {
        readReply(response, sentAtMs).then(resolve, reject);
      });
      request.end();
    });
  }

  /** "200" or "401 session_revoked". */
  async seen(path: string, ask: Ask = {}): Promise<string> {
    return describeReply(await this.get(path, ask));
  }

  close(): void {
    this.#agent.destroy();
  }
}

/**
 * Sends these very bytes on a connection of their own and returns the first answer. Nobody who sends
 * them expects a 503, so they are sent again while the machine stands still.
 */
export async function sendBytes(url: string, bytes: string): Promise<string> {
  const untilMs = performance.now() + STANDSTILL_MAX_MS;
  for (;;) {
    const answer = await sendBytesOnce(url, bytes);
    if (!/^HTTP\/1\.1 503 /.test(answer) || performance.now() > untilMs) return answer;
  }
}

async function sendBytesOnce(url: string, bytes: string): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port) });
    let answer = "";
    socket.setTimeout(ANSWER_TIMEOUT_MS, () => socket.destroy(new Error("no answer in time")));
    socket.on("data", (data) => {
      answer += data.toString("latin1");
      // Envoy keeps a connection that it has given up for a second, for the answer's sake.
      if (isWhole(answer)) socket.destroy();
    });
    socket.once("error", reject);
    socket.once("close", () => resolve(answer));
    socket.once("connect", () => socket.write(bytes, "latin1"));
  });
}

/** Whether this is all of an answer that says how long it is (RFC 9112, section 6). */
function isWhole(answer: string): boolean {
  const headEnd = answer.indexOf("\r\n\r\n");
  if (headEnd < 0) return false;
  const length = /\r\ncontent-length: *(\d+)\r\n/i.exec(answer.slice(0, headEnd + 2))?.[1];
  return length !== undefined && answer.length >= headEnd + 4 + Number(length);
}

async function readReply(response: IncomingMessage, sentAtMs: number): Promise<Reply> {
  let body = "";
  response.setEncoding("utf8");
  response.on("data", (part: string) => (body += part));
  await new Promise((resolve, reject) => response.once("end", resolve).once("error", reject));
  const atMs = performance.now();
  const headers = Object.fromEntries(
    Object.entries(response.headers).map(([name, value]) => [name, [value].flat().join(", ")]),
  );
  const type = headers["content-type"] ?? "";
  return {
    status: response.statusCode ?? 0,
    headers,
    body,
    problem:
      type === "application/problem+json" ? problemSchema.parse(JSON.parse(body)) : undefined,
    echo: type === "application/json" ? echoSchema.parse(JSON.parse(body)) : undefined,
    sentAtMs,
    atMs,
  };
}
