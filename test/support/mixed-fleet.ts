/**
 * Nodes of this version and of the last one that follow one log, asked over their gRPC ports. Tokens
 * that are revoked are sent to every node again and again until the fleet is closed: each allow of a
 * check that was sent later than the limit is kept, whichever step of the upgrade it came in.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, credentials } from "@grpc/grpc-js";
import { z } from "zod";
import { AuthzNode } from "../../dev/authz-node.js";
import { Closing } from "../../dev/demo/demo-deployment.js";
import { RedisServer } from "../../dev/redis-server.js";
import { repositoryRoot } from "../../dev/repository.js";
import { waitFor, waitUntil } from "../../dev/wait-for.js";
import {
  AuthorizationService,
  type CheckResponse,
} from "../../src/generated/envoy/service/auth/v3/external_auth.js";
import { sekisho, type Ended } from "./sekisho-command.js";
import { TokenIssuer } from "./token-issuer.js";

export type Version = "earlier" | "present";
export const VERSIONS: readonly Version[] = ["earlier", "present"];

/** SEKISHO_MAX_STALENESS_MS, as it is by default. */
const STALENESS_MS = 1000;
const WATCH_EVERY_MS = 25;
/** How long an answer is waited for that has to come, on a machine that may stand still. */
const ANSWER_WAIT_MS = 30_000;
/** Longer than any test takes. */
const WATCHED_MAX_MS = 600_000;

export const ALLOWED = "200 allowed";
/** What a node answers for an entry that it cannot read. */
export const UNREADABLE = "503 revocations_stale";

/** Where the programs of a version are. */
export function installationOf(version: Version): string {
  if (version === "present") return repositoryRoot();
  const folder = process.env["EARLIER_VERSION"];
  if (folder === undefined) {
    throw new Error("these tests need a build of the last version: npm run test:upgrade makes it");
  }
  return folder;
}

/** `reason` and status; a node that is not there answers with the RPC's error. */
type Answer = string;

export interface FleetNode {
  readonly name: string;
  readonly version: Version;
  readonly authz: AuthzNode;
  readonly check: (token: string) => Promise<Answer>;
}

interface Watched {
  readonly label: string;
  readonly token: string;
  /** By `performance.now()`: what is sent later must be refused. */
  readonly refusedFromMs: number;
}

export class MixedFleet {
  readonly redis: RedisServer;
  /** Of tokens that no session service has issued. */
  readonly issuer = new TokenIssuer();
  readonly #closing: Closing;
  readonly #jwksFile: string;
  readonly #nodes = new Set<FleetNode>();
  readonly #watched: Watched[] = [];
  readonly #wrongAllows: string[] = [];
  #watching: Promise<void> | undefined;
  #ended = false;
  #refusals = 0;

  private constructor(closing: Closing, redis: RedisServer, jwksFile: string) {
    this.#closing = closing;
    this.redis = redis;
    this.#jwksFile = jwksFile;
  }

  static async open(): Promise<MixedFleet> {
    const closing = new Closing();
    try {
      const folder = await closing.keep(mkdtemp(join(tmpdir(), "sekisho-upgrade-")), (made) =>
        rm(made, { recursive: true, force: true }),
      );
      const redis = await closing.keep(RedisServer.start(), (one) => one.close());
      const fleet = new MixedFleet(closing, redis, join(folder, "jwks.json"));
      await writeFile(join(folder, "jwks.json"), JSON.stringify(fleet.issuer.jwks()));
      return fleet;
    } catch (error) {
      await closing.close();
      throw error;
    }
  }

  /** Closed with the fleet, last things first. */
  keep<T>(starting: Promise<T>, close: (started: T) => Promise<void> | void): Promise<T> {
    return this.#closing.keep(starting, close);
  }

  /** A node of this version, ready. `settings`: an empty one counts as unset. */
  async addNode(
    version: Version,
    name: string,
    settings: Readonly<Record<string, string>> = {},
  ): Promise<FleetNode> {
    const { issuer, audience } = this.issuer;
    const starting = AuthzNode.start({
      nodeId: name,
      redisUrl: this.redis.url,
      mint: { issuer, audience, jwksFile: this.#jwksFile },
      settings,
      installation: installationOf(version),
    });
    const authz = await this.keep(starting, (one) => one.kill());
    await authz.waitReady();
    const client = new Client(authz.listen, credentials.createInsecure());
    await this.keep(Promise.resolve(client), (one) => one.close());
    const check = (token: string) => answerOf(client, token);
    const node = { name, version, authz, check };
    this.#nodes.add(node);
    return node;
  }

  /** Ends a node in good order. */
  async removeNode(node: FleetNode): Promise<void> {
    this.#nodes.delete(node);
    await node.authz.stop();
  }

  /** Runs a command of this version on the fleet's Redis. */
  command(
    version: Version,
    args: readonly string[],
    settings: Readonly<Record<string, string>> = {},
    input = "",
  ): Promise<Ended> {
    const all = { SEKISHO_REDIS_URL: this.redis.url, ...settings };
    return sekisho(args, all, input, installationOf(version));
  }

  /** What every node answers, by name. */
  async answers(token: string): Promise<Readonly<Record<string, Answer>>> {
    const nodes = [...this.#nodes];
    const answered = nodes.map(async ({ name, check }) => [name, await check(token)] as const);
    return Object.fromEntries(await Promise.all(answered));
  }

  /** Waits until every node answers as expected of its version. */
  async until(token: string, expected: Readonly<Record<Version, Answer>>): Promise<void> {
    let last: Readonly<Record<string, Answer>> = {};
    const isSo = async () => {
      last = await this.answers(token);
      return [...this.#nodes].every(({ name, version }) => last[name] === expected[version]);
    };
    await waitUntil(isSo, {
      what: `${JSON.stringify(expected)} of every node`,
      timeoutMs: ANSWER_WAIT_MS,
      failure: (message) => new Error(`${message}\n  they answer ${JSON.stringify(last)}`),
    });
  }

  /** From now on the token is revoked, and acknowledged as such: no node may allow it again. */
  revoked(label: string, token: string): void {
    this.#watched.push({ label, token, refusedFromMs: performance.now() + STALENESS_MS });
    this.#watching ??= waitFor(async () => ((await this.#watch()) ? true : undefined), {
      what: "the end of the watch",
      timeoutMs: WATCHED_MAX_MS,
      everyMs: WATCH_EVERY_MS,
    }).then(() => undefined);
  }

  /** Allows of revoked tokens past the limit, and how many checks of them were refused. */
  async watched(): Promise<{ readonly wrongAllows: readonly string[]; readonly refusals: number }> {
    // One more look at everything, later than the last limit.
    const lastMs = Math.max(...this.#watched.map(({ refusedFromMs }) => refusedFromMs));
    await waitUntil(() => performance.now() > lastMs, {
      what: "the staleness limit to pass",
      timeoutMs: 2 * STALENESS_MS,
    });
    await this.#watch();
    return { wrongAllows: this.#wrongAllows, refusals: this.#refusals };
  }

  async close(): Promise<void> {
    this.#ended = true;
    await this.#watching;
    const faults = await this.#closing.close();
    if (faults.length > 0) throw new AggregateError(faults, "the fleet was not closed");
  }

  /** True when there is nothing left to watch. */
  async #watch(): Promise<boolean> {
    const rounds = [...this.#watched].map(async ({ label, token, refusedFromMs }) => {
      const sentMs = performance.now();
      const answers = await this.answers(token);
      for (const [name, answer] of Object.entries(answers)) {
        if (answer !== ALLOWED) this.#refusals += answer.startsWith(RPC_ERROR) ? 0 : 1;
        else if (sentMs > refusedFromMs) {
          this.#wrongAllows.push(`${label} by ${name}, ${Math.round(sentMs - refusedFromMs)} ms`);
        }
      }
    });
    await Promise.all(rounds);
    return this.#ended;
  }
}

const reasonSchema = z.object({ reason: z.string() });
const OK = 200;
const RPC_ERROR = "rpc error";

function verdictIn({ httpResponse, dynamicMetadata }: CheckResponse): Answer {
  const { reason } = reasonSchema.parse(dynamicMetadata);
  const denied = httpResponse?.$case === "deniedResponse" ? httpResponse.value : undefined;
  // An answer without a verdict is an allow.
  return `${denied?.status?.code ?? OK} ${reason}`;
}

/** As Envoy asks. */
async function answerOf(client: Client, token: string): Promise<Answer> {
  const { path, requestSerialize, responseDeserialize } = AuthorizationService.check;
  const rawValue = Buffer.from(`Bearer ${token}`);
  const http = {
    id: "1",
    method: "GET",
    path: "/things",
    host: "api.example",
    scheme: "http",
    protocol: "HTTP/1.1",
    headers: {},
    headerMap: { headers: [{ key: "authorization", value: "", rawValue }] },
  };
  const request = { attributes: { request: { http }, contextExtensions: {} } };
  const options = { deadline: Date.now() + ANSWER_WAIT_MS };
  const answered = await new Promise<CheckResponse | string>((resolve) => {
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      options,
      (error, response) => resolve(response ?? `${RPC_ERROR} ${error?.code ?? ""}`),
    );
  });
  return typeof answered === "string" ? answered : verdictIn(answered);
}
