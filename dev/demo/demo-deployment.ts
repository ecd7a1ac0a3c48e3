/**
 * Everything that the demo runs: Redis, the session service, and pods of API, Sekisho and Envoy. All
 * are closed in reverse order of their start, even when the start is interrupted.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { AuthzNode } from "../authz-node.js";
import { Client } from "../client.js";
import { EchoApi } from "../echo-api.js";
import { EnvoyProcess } from "../envoy-process.js";
import { RedisServer } from "../redis-server.js";
import { SessionsClient } from "../sessions-client.js";
import {
  SESSIONS_AUDIENCE,
  SESSIONS_ISSUER,
  SessionsService,
  createOperator,
} from "../sessions-service.js";
import { ExternalRedis } from "./external-redis.js";

/** One machine or pod: an API, and Envoy with Sekisho in front of it. */
export interface Pod {
  readonly name: string;
  readonly api: EchoApi;
  readonly authz: AuthzNode;
  readonly envoy: EnvoyProcess;
  readonly client: Client;
}

/** The operator, who may act in every tenant. */
export interface Operator {
  readonly tenant: string;
  readonly user: string;
  readonly login: string;
  readonly password: string;
  readonly accessToken: string;
}

type DeploymentDependencies = Pick<
  DemoDeployment,
  "folder" | "redisUrl" | "sessions" | "service" | "operator"
>;

export class DemoDeployment {
  readonly folder: string;
  readonly redisUrl: string;
  readonly sessions: SessionsClient;
  readonly service: SessionsService;
  readonly operator: Operator;
  readonly #pods: Pod[] = [];
  readonly #closing: Closing;

  private constructor(closing: Closing, parts: DeploymentDependencies) {
    this.#closing = closing;
    this.folder = parts.folder;
    this.redisUrl = parts.redisUrl;
    this.sessions = parts.sessions;
    this.service = parts.service;
    this.operator = parts.operator;
  }

  /**
   * Starts Redis (or takes the one at `given`), makes a database with an operator in it, and starts
   * the session service, which opens the revocation log. `doing` is called before each step.
   *
   * @throws LogInUse when the given Redis holds a log already
   */
  static async open(
    closing: Closing,
    given: string | undefined,
    doing: (text: string) => void,
  ): Promise<DemoDeployment> {
    const folder = await closing.keep(mkdtemp(join(tmpdir(), "sekisho-demo-")), async (made) =>
      rm(made, { recursive: true, force: true }),
    );
    doing(
      given === undefined ? "starting a private Redis" : "using the Redis of SEKISHO_REDIS_URL",
    );
    const { url: redisUrl } = await (given === undefined
      ? closing.keep(RedisServer.start(), (redis) => redis.close())
      : closing.keep(ExternalRedis.take(given), (redis) => redis.close()));

    doing("making a database in a temporary folder, and an operator in it (some seconds)");
    const database = { folder: join(folder, "database") };
    // Registered, so that the folder is not removed while it is being filled.
    const creating = createOperator({ database }, "operator");
    const made = await closing.keep(creating, () => undefined);

    doing("starting the session service");
    const service = await closing.keep(SessionsService.start({ redisUrl, database }), (started) =>
      started.stop(),
    );
    await service.waitReady();
    const sessions = new SessionsClient(service.url);
    await closing.keep(Promise.resolve(sessions), (client) => client.close());
    // A one-time password is valid for one login, in which it must be replaced.
    const password = newPassword();
    const { tenant, login, user_id: user, one_time_password: oneTimePassword } = made;
    const entered = await sessions.enter({ tenant, login, oneTimePassword }, password);
    const { accessToken } = entered;
    const operator = { tenant, user, login, password, accessToken };
    return new DemoDeployment(closing, { folder, redisUrl, sessions, service, operator });
  }

  /** Those that are ready, by name. */
  get pods(): readonly Pod[] {
    return this.#pods;
  }

  /**
   * Starts a pod and waits until its node is ready. `watch` sees it earlier: as soon as Envoy
   * answers, which is before the node has read the log.
   */
  async addPod(name: string, watch: (client: Client) => void = () => undefined): Promise<Pod> {
    const authz = await this.#closing.keep(
      AuthzNode.start({
        nodeId: name,
        redisUrl: this.redisUrl,
        mint: { issuer: SESSIONS_ISSUER, audience: SESSIONS_AUDIENCE, jwksFile: "" },
        settings: { SEKISHO_JWKS_URL: this.service.jwksUrl },
      }),
      (node) => node.stop(),
    );
    const api = await this.#closing.keep(EchoApi.start(), (echo) => echo.close());
    const envoy = await this.#closing.keep(
      EnvoyProcess.start({
        name: `envoy of ${name}`,
        api: { port: api.port },
        sekisho: authz.address,
      }),
      (started) => started.close(),
    );
    const client = new Client(envoy.url);
    await this.#closing.keep(Promise.resolve(client), (made) => made.close());
    watch(client);
    await authz.waitReady();
    const pod = { name, api, authz, envoy, client };
    this.#pods.push(pod);
    this.#pods.sort((one, other) => one.name.localeCompare(other.name));
    return pod;
  }
}

/** 18 random characters (104 bits). */
export function newPassword(): string {
  return randomBytes(13).toString("base64url");
}

/** What has to be closed, in order of start. */
export class Closing {
  readonly #starts: { readonly started: Promise<unknown>; close(): Promise<void> }[] = [];
  #begun = false;

  /** Registers how to close what is being started, and passes it on. */
  async keep<T>(starting: Promise<T>, close: (started: T) => Promise<void> | void): Promise<T> {
    // Once closing has begun, nothing added would be closed.
    if (this.#begun) throw new Error("stopped while starting");
    this.#starts.push({
      started: starting,
      close: async () => {
        const outcome = await starting.then(
          (started) => ({ started }),
          () => undefined,
        );
        if (outcome !== undefined) await close(outcome.started);
      },
    });
    return starting;
  }

  /** Closes everything, last started first, and returns the errors. Waits for pending starts. */
  async close(): Promise<unknown[]> {
    this.#begun = true;
    const faults: unknown[] = [];
    for (const start of this.#starts.splice(0).reverse()) {
      await start.close().catch((fault: unknown) => faults.push(fault));
    }
    return faults;
  }
}
