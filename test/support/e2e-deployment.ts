/**
 * What an end-to-end test runs: a private Redis with a log in it, an issuer, and pods, each of them
 * a real Envoy with the repository's envoy.yaml, a real `sekisho authz` process, and an API behind.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AuthzNode } from "../../dev/authz-node.js";
import { StartedProcess, type Exit } from "../../dev/child-process.js";
import { Closing } from "../../dev/demo/demo-deployment.js";
import { EchoApi } from "../../dev/echo-api.js";
import { readEnvoyConfig, type EnvoyConfig } from "../../dev/envoy-config.js";
import { EnvoyProcess } from "../../dev/envoy-process.js";
import { RedisServer } from "../../dev/redis-server.js";
import { repositoryRoot } from "../../dev/repository.js";
import { waitFor } from "../../dev/wait-for.js";
import type { Revocation } from "../../src/revocation-log/entry.js";
import { HttpClient, describeReply, type Ask } from "./e2e-http.js";
import { Poller } from "./e2e-poller.js";
import { initLog, publish } from "./following.js";
import { TcpProxy } from "./tcp-proxy.js";
import { TokenIssuer, type JsonMembers } from "./token-issuer.js";

const COMMAND_TIMEOUT_MS = 60_000;
/** How long an answer is waited for that has to come, on a machine that may stand still. */
const ANSWER_WAIT_MS = 30_000;

export interface NodeOptions {
  /** SEKISHO_LISTEN; a free loopback port if left out. */
  readonly listen?: string;
  /** The deployment's own if left out. */
  readonly redisUrl?: string;
  /** Further settings by their SEKISHO_ names; an empty one counts as unset. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface PodOptions extends NodeOptions {
  /** In place of the repository's envoy.yaml. */
  readonly config?: EnvoyConfig;
  /** Sees Envoy as soon as it answers, which is before the node is ready. */
  readonly early?: (client: HttpClient) => void;
  /** Not to wait for it: a node that cannot become ready. */
  readonly unready?: true;
}

export interface Pod {
  readonly name: string;
  readonly api: EchoApi;
  readonly authz: AuthzNode;
  readonly envoy: EnvoyProcess;
  readonly client: HttpClient;
}

/** Who a token speaks for. */
export interface Person {
  readonly tenant: string;
  readonly user: string;
  readonly session: string;
  readonly epoch?: number;
}

export class E2eDeployment {
  readonly folder: string;
  readonly redis: RedisServer;
  /** SEKISHO_REDIS_URL of the nodes. */
  readonly redisUrl: string;
  readonly issuer = new TokenIssuer();
  readonly #closing: Closing;
  readonly #pollers: Poller[] = [];

  private constructor(closing: Closing, folder: string, redis: RedisServer, redisUrl: string) {
    this.#closing = closing;
    this.folder = folder;
    this.redis = redis;
    this.redisUrl = redisUrl;
  }

  /**
   * Starts Redis, whose data survive its process, and opens a log in which nothing was revoked: in it,
   * or in servers of the caller's.
   */
  static async open(
    options: {
      readonly withoutLog?: true;
      readonly servers?: { readonly url: string; readonly minReplicas: number };
    } = {},
  ): Promise<E2eDeployment> {
    const closing = new Closing();
    try {
      const folder = await closing.keep(mkdtemp(join(tmpdir(), "sekisho-e2e-")), (made) =>
        rm(made, { recursive: true, force: true }),
      );
      // The machine goes on when Redis is killed, and on a busy disk an fsync can take a second.
      const starting = RedisServer.start({ appendonly: true, args: ["--appendfsync", "no"] });
      const redis = await closing.keep(starting, (one) => one.close());
      const { url, minReplicas } = options.servers ?? { url: redis.url, minReplicas: 0 };
      if (options.withoutLog !== true) await initLog(url, { minReplicas });
      const deployment = new E2eDeployment(closing, folder, redis, url);
      await writeFile(deployment.jwksFile, JSON.stringify(deployment.issuer.jwks()));
      return deployment;
    } catch (error) {
      await closing.close();
      throw error;
    }
  }

  get jwksFile(): string {
    return join(this.folder, "jwks.json");
  }

  /** Closed with the deployment, last things first. */
  async keep<T>(starting: Promise<T>, close: (started: T) => Promise<void> | void): Promise<T> {
    return this.#closing.keep(starting, close);
  }

  /** A proxy in front of Redis, mended before what uses it is closed. */
  async addRedisProxy(): Promise<TcpProxy> {
    return this.keep(TcpProxy.start(this.redis.port), (proxy) => proxy.close());
  }

  async addNode(nodeId: string, options: NodeOptions = {}): Promise<AuthzNode> {
    const { issuer, jwksFile } = this;
    const starting = AuthzNode.start({
      nodeId,
      redisUrl: options.redisUrl ?? this.redisUrl,
      mint: { issuer: issuer.issuer, audience: issuer.audience, jwksFile },
      ...(options.listen === undefined ? {} : { listen: options.listen }),
      ...(options.settings === undefined ? {} : { settings: options.settings }),
    });
    // Not drained: how nodes end is a test of its own, and here it would only take time.
    return this.keep(starting, (node) => node.kill());
  }

  async addPod(name: string, options: PodOptions = {}): Promise<Pod> {
    const authz = await this.addNode(name, options);
    const api = await this.keep(EchoApi.start(), (echo) => echo.close());
    const envoy = await this.keep(
      EnvoyProcess.start({
        name: `envoy of ${name}`,
        api: { port: api.port },
        sekisho: authz.address,
        ...(options.config === undefined ? {} : { config: options.config }),
      }),
      (started) => started.close(),
    );
    const client = new HttpClient(envoy.url);
    await this.keep(Promise.resolve(client), (made) => made.close());
    options.early?.(client);
    if (options.unready !== true) await authz.waitReady();
    return { name, api, authz, envoy, client };
  }

  async addPods(...names: readonly string[]): Promise<Pod[]> {
    return Promise.all(names.map((name) => this.addPod(name)));
  }

  /** The repository's envoy.yaml with some things changed. */
  async changedEnvoyConfig(
    name: string,
    ...changes: readonly (readonly [what: RegExp, to: string])[]
  ): Promise<EnvoyConfig> {
    let text = await readFile(join(repositoryRoot(), "envoy.yaml"), "utf8");
    for (const [what, to] of changes) {
      const changed = text.replace(what, to);
      if (changed === text) throw new Error(`envoy.yaml has nothing like ${what.source}`);
      text = changed;
    }
    const file = join(this.folder, `${name}.yaml`);
    await writeFile(file, text);
    return readEnvoyConfig(file);
  }

  /** Of an Envoy that does not give up a check, however long it takes. */
  async patientEnvoyConfig(): Promise<EnvoyConfig> {
    return this.changedEnvoyConfig("patient", [/^( +timeout: )0\.5s(?=\n +# No answer)/m, "$160s"]);
  }

  /** Asks again and again until it is stopped, or the deployment is closed. */
  poll(name: string, client: HttpClient, path: string, ask: Ask | (() => Ask) = {}): Poller {
    const poller = new Poller(name, client, path, typeof ask === "function" ? ask : () => ask);
    this.#pollers.push(poller);
    return poller;
  }

  token(person: Person, claims: JsonMembers = {}): string {
    return this.issuer.mint({ ...claimsOf(person), ...claims });
  }

  /** Publishes a revocation and returns when that was acknowledged, by `performance.now()`. */
  async revoke(revocation: Revocation): Promise<number> {
    const outcome = await publish(this.redisUrl, revocation);
    if (!outcome.published) throw new Error(`not published: ${outcome.message}`);
    return performance.now();
  }

  /** Runs a command of `sekisho` to its end; the last of what it printed is in `said`. */
  async sekisho(...args: string[]): Promise<{ readonly exit: Exit; readonly said: string }> {
    return this.sekishoOn(this.redisUrl, ...args);
  }

  /** The same on another Redis than the deployment's own. */
  async sekishoOn(
    redisUrl: string,
    ...args: string[]
  ): Promise<{ readonly exit: Exit; readonly said: string }> {
    return runSekisho(redisUrl, args);
  }

  async stopPollers(): Promise<void> {
    await Promise.all(this.#pollers.splice(0).map((poller) => poller.stop()));
  }

  /** Also where something is paused. */
  async close(): Promise<void> {
    await this.stopPollers();
    const faults = await this.#closing.close();
    if (faults.length > 0) throw new AggregateError(faults, "not everything could be closed");
  }
}

/** The claims of a token of this person, under the names that issuers have by default. */
export function claimsOf({ tenant, user, session, epoch = 0 }: Person): JsonMembers {
  return { sub: user, tenant_id: tenant, user_id: user, session_id: session, user_epoch: epoch };
}

/** Waits until this is answered through the pod's Envoy. */
export async function untilAnswered(
  { name, client }: Pick<Pod, "name" | "client">,
  path: string,
  ask: Ask,
  expected: string,
): Promise<void> {
  let last = "nothing yet";
  await waitFor(
    async () => {
      last = describeReply(await client.getOnce(path, ask));
      return last === expected ? true : undefined;
    },
    {
      what: `${name} to answer ${expected}`,
      timeoutMs: ANSWER_WAIT_MS,
      failure: (message) => new Error(`${message}; it answered ${last}`),
    },
  );
}

async function runSekisho(
  redisUrl: string,
  args: readonly string[],
): Promise<{ readonly exit: Exit; readonly said: string }> {
  const rest = Object.entries(process.env).filter(([name]) => !name.startsWith("SEKISHO_"));
  const started = new StartedProcess({
    name: `sekisho ${args.join(" ")}`,
    file: process.execPath,
    args: [join(repositoryRoot(), "dist", "src", "main.js"), ...args],
    env: { ...Object.fromEntries(rest), SEKISHO_REDIS_URL: redisUrl },
  });
  try {
    const exit = await waitFor(() => (started.running ? undefined : started.exited), {
      what: `${started.name} to end`,
      timeoutMs: COMMAND_TIMEOUT_MS,
    });
    return { exit, said: started.lines.join("\n") };
  } finally {
    await started.kill();
  }
}
