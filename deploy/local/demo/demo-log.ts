import { randomUUID } from "node:crypto";

import { systemClock } from "../../../src/clock/clock.js";
import { redisConnections } from "../../../src/revocation/connection-redis.js";
import type { Revocation } from "../../../src/revocation/entry.js";
import { horizonS } from "../../../src/revocation/horizon.js";
import { openLog } from "../../../src/revocation/log-opening-redis.js";
import { partitionKeys } from "../../../src/revocation/partition.js";
import { RedisPublisher } from "../../../src/revocation/publisher-redis.js";

const COMMAND_TIMEOUT_MS = 2_000;
/** As the nodes have it: their longest token lifetime and skew are the usual ones. */
const HORIZON_S = horizonS(900, 5);

/** The Redis that was given holds a revocation log, and it is not the demo's to write to. */
export class LogInUse extends Error {
  constructor() {
    super(
      "the Redis of SEKISHO_REDIS_URL holds a revocation log already, and the demo would write into\n" +
        "it. Unset SEKISHO_REDIS_URL for a private Redis, or name an empty one.",
    );
    this.name = "LogInUse";
  }
}

/** When a revocation was sent and when it was acknowledged, by `performance.now()`. */
export interface Acknowledged {
  readonly sentAtMs: number;
  readonly atMs: number;
}

/** A log that the demo has opened, writes to, and removes at the end. */
export class DemoLog {
  readonly url: string;
  readonly #publisher: RedisPublisher;

  private constructor(url: string, publisher: RedisPublisher) {
    this.url = url;
    this.#publisher = publisher;
  }

  /**
   * Opens a log in which nothing was ever revoked: `sekisho log init --nothing-was-revoked`.
   *
   * @throws LogInUse when there is one
   */
  static async open(url: string): Promise<DemoLog> {
    const open = redisConnections(url);
    const keys = partitionKeys(0);
    const connection = await open();
    try {
      const looking = connection.client.exists(keys.log, keys.meta, keys.nodes);
      const found = await connection.within(COMMAND_TIMEOUT_MS, "EXISTS", looking);
      if (found > 0) throw new LogInUse();
    } finally {
      connection.close();
    }
    const [outcome] = await openLog(open, keys, {
      generation: randomUUID(),
      authority: "redis",
      horizonS: HORIZON_S,
      nothingWasRevoked: true,
      replace: false,
    });
    if (outcome !== "opened") throw new LogInUse();
    const publisher = new RedisPublisher({
      open,
      keys,
      clock: systemClock,
      authority: "redis",
      minReplicas: 0,
      clockSkewS: 5,
    });
    return new DemoLog(url, publisher);
  }

  /** What `sekisho revoke` does, without the time that it takes to start a program. */
  async revoke(revocation: Revocation): Promise<Acknowledged> {
    const sentAtMs = performance.now();
    const outcome = await this.#publisher.publish({
      revocation,
      eventId: randomUUID(),
      atMs: systemClock.wallMs(),
      reason: "demo",
      actor: "demo",
    });
    if (!outcome.published) throw new Error(`not published: ${outcome.message}`);
    return { sentAtMs, atMs: performance.now() };
  }

  /** Removes the log; nothing of the demo stays in a Redis that was given. */
  async close(): Promise<void> {
    this.#publisher.close();
    const { log, meta, nodes } = partitionKeys(0);
    const connection = await redisConnections(this.url)();
    try {
      const removing = connection.client.unlink(log, meta, nodes);
      await connection.within(COMMAND_TIMEOUT_MS, "UNLINK", removing);
    } finally {
      connection.close();
    }
  }
}
