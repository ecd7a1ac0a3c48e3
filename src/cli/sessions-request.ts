/** Asks the session service on behalf of an operator's command. */
import { z } from "zod";
import type { ServiceAddress } from "./operator-config.js";

const TIMEOUT_MS = 15_000;
/** Far more than any answer to these commands. */
const ANSWER_MAX_BYTES = 4 * 1024 * 1024;

const NO_CONTENT = 204;

const problemSchema = z.object({
  code: z.string(),
  title: z.string().optional(),
  detail: z.string().optional(),
});

export type ServiceAnswer =
  /** `body` undefined: it has none (204). */
  | { readonly ok: true; readonly status: number; readonly body: unknown }
  /** In words for the operator. */
  | { readonly ok: false; readonly message: string };

/** Never rejects; bounded in time. The token is never part of a message. */
export async function askService(
  { url, token }: ServiceAddress,
  request: {
    readonly method: "GET" | "POST" | "DELETE";
    readonly path: string;
    readonly body?: object;
  },
  timeoutMs = TIMEOUT_MS,
): Promise<ServiceAnswer> {
  // fetch's own error would quote the whole URL, or the header with the token.
  if (!isSendable(new URL(url), token)) return { ok: false, message: NOT_SENDABLE };
  try {
    const response = await fetch(new URL(request.path, url), {
      method: request.method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(request.body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
      // A redirect would send the token to another server.
      redirect: "error",
      signal: AbortSignal.timeout(timeoutMs),
    });
    const text = await readBounded(response);
    const body: unknown = text === undefined ? undefined : parse(text);
    const isComplete = body !== undefined || response.status === NO_CONTENT;
    if (response.ok && isComplete) return { ok: true, status: response.status, body };
    return { ok: false, message: explain(response, body, url) };
  } catch (error) {
    return { ok: false, message: explainFailure(error, url, timeoutMs) };
  }
}

/** undefined where it is longer than any answer of the service. */
async function readBounded({ body }: Response): Promise<string | undefined> {
  const decoder = new TextDecoder();
  let [text, bytes] = ["", 0];
  if (body === null) return text;
  // Node's stream type knows the type of its chunks; leaving the loop ends the connection.
  for await (const part of ReadableStream.from<Uint8Array>(body)) {
    bytes += part.byteLength;
    if (bytes > ANSWER_MAX_BYTES) return undefined;
    text += decoder.decode(part, { stream: true });
  }
  return text + decoder.decode();
}

function explainFailure(error: unknown, url: string, timeoutMs: number): string {
  const { origin } = new URL(url);
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const message = cause instanceof Error ? cause.message : String(cause);
  const timedOut = error instanceof Error && error.name === "TimeoutError";
  return (
    (timedOut
      ? `the session service at ${origin} gave no answer within ${timeoutMs / 1000} s: whether it was done is unknown\n`
      : `the session service at ${origin} cannot be reached: ${message}\n`) +
    "If it cannot wait: --break-glass writes directly to Redis, past the service (SEKISHO_REDIS_URL)"
  );
}

const NOT_SENDABLE =
  "SEKISHO_SESSIONS_URL must not contain a name or password, and SEKISHO_SESSIONS_TOKEN must be an access token in one line";

function isSendable({ username, password }: URL, token: string): boolean {
  return username === "" && password === "" && /^[\x21-\x7e]+$/.test(token);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function explain({ status, headers }: Response, body: unknown, url: string): string {
  const problem = problemSchema.safeParse(body).data;
  if (problem === undefined) {
    return `${new URL(url).origin} answered ${status}, not as the session service does: is SEKISHO_SESSIONS_URL right?`;
  }
  const { code, title, detail } = problem;
  const words = [title, detail].filter((text) => text !== undefined).join(": ");
  const answer = `the session service answered ${status} ${code}${words === "" ? "" : ` (${words})`}`;
  return answer + adviceFor(status, headers.get("retry-after") ?? "");
}

function adviceFor(status: number, retryAfter: string): string {
  if (status === 401) {
    return ". Log in again and set SEKISHO_SESSIONS_TOKEN to the new access token";
  }
  if (status !== 429) return "";
  const when = /^[0-9]{1,6}$/.test(retryAfter) ? `${retryAfter} s` : "a minute";
  return `. Nothing was done: try again in ${when}`;
}
