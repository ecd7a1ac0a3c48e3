/**
 * Everything that the demo runs: Redis, an issuer, and pods of API, Sekisho and Envoy. Each thing is
 * closed in the reverse order of its start, also when the start is broken off half-way.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { AuthzNode } from "../authz-node.js";
import { Client } from "../client.js";
import { EchoApi } from "../echo-api.js";
import { EnvoyProcess } from "../envoy-process.js";
import { RedisServer } from "../redis-server.js";
import { createTokenMint } from "../token-mint.js";
import type { TokenMint } from "../token-mint.js";
import { DemoLog } from "./demo-log.js";

/** What stands on one machine or in one pod: an API, and Envoy with Sekisho in front of it. */
export interface Pod {
  readonly name: string;
  readonly api: EchoApi;
  readonly authz: AuthzNode;
  readonly envoy: EnvoyProcess;
  readonly client: Client;
}

type StageParts = Pick<Stage, "folder" | "mint" | "log" | "redisIsOwn">;

export class Stage {
  readonly folder: string;
  readonly mint: TokenMint;
  readonly log: DemoLog;
  readonly redisIsOwn: boolean;
  readonly #pods: Pod[] = [];
  readonly #closing: Closing;

  private constructor(closing: Closing, parts: StageParts) {
    this.#closing = closing;
    this.folder = parts.folder;
    this.mint = parts.mint;
    this.log = parts.log;
    this.redisIsOwn = parts.redisIsOwn;
  }

  /**
   * Starts Redis (or takes the one at `redisUrl`), opens a log in it, and starts an issuer.
   *
   * @throws LogInUse when the given Redis holds a log already
   */
  static async open(closing: Closing, redisUrl: string | undefined): Promise<Stage> {
    const folder = await closing.keep(mkdtemp(join(tmpdir(), "sekisho-demo-")), async (made) =>
      rm(made, { recursive: true, force: true }),
    );
    const url = redisUrl ?? (await closing.keep(RedisServer.start(), (redis) => redis.close())).url;
    const log = await closing.keep(DemoLog.open(url), (opened) => opened.close());
    const mint = await createTokenMint(folder);
    return new Stage(closing, { folder, log, mint, redisIsOwn: redisUrl === undefined });
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
      AuthzNode.start({ nodeId: name, redisUrl: this.log.url, mint: this.mint }),
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

/** What has to be closed, in the order in which it was started. */
export class Closing {
  readonly #starts: { readonly started: Promise<unknown>; close(): Promise<void> }[] = [];
  #begun = false;

  /** Hands on what is being started and remembers how to close it. */
  async keep<T>(starting: Promise<T>, close: (started: T) => Promise<void> | void): Promise<T> {
    // Once closing has begun the list is walked backwards and nothing may be added behind it.
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

  /** Closes everything, last things first, and returns what went wrong. Waits for pending starts. */
  async close(): Promise<unknown[]> {
    this.#begun = true;
    const faults: unknown[] = [];
    for (const start of this.#starts.splice(0).reverse()) {
      await start.close().catch((fault: unknown) => faults.push(fault));
    }
    return faults;
  }
}
