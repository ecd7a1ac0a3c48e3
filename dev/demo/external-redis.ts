import { redisConnections } from "../../src/revocation-log/connection-redis.js";
import { LOG_KEYS } from "../../src/revocation-log/partition.js";

const COMMAND_TIMEOUT_MS = 2_000;

/** The external Redis already holds a revocation log, which a demo or a benchmark must not touch. */
export class LogInUse extends Error {
  constructor() {
    super(
      "the Redis of SEKISHO_REDIS_URL holds a revocation log already, and this would write into it.\n" +
        "Unset SEKISHO_REDIS_URL for a private Redis, or name an empty one.",
    );
    this.name = "LogInUse";
  }
}

/**
 * A Redis that was not started here. The log that is opened in it is removed at the end; the session
 * service's rate-limit counters in it expire within ten minutes.
 */
export class ExternalRedis {
  readonly url: string;

  private constructor(url: string) {
    this.url = url;
  }

  /** @throws LogInUse when there is a log in it */
  static async take(url: string): Promise<ExternalRedis> {
    const { log, meta, nodes } = LOG_KEYS;
    const connection = await redisConnections(url)();
    try {
      const looking = connection.client.exists(log, meta, nodes);
      const found = await connection.within(COMMAND_TIMEOUT_MS, "EXISTS", looking);
      if (found > 0) throw new LogInUse();
    } finally {
      connection.close();
    }
    return new ExternalRedis(url);
  }

  /** Removes the log. The session service must have ended, or it would restore the log. */
  async close(): Promise<void> {
    const { log, meta, nodes } = LOG_KEYS;
    const connection = await redisConnections(this.url)();
    try {
      const removing = connection.client.unlink(log, meta, nodes);
      await connection.within(COMMAND_TIMEOUT_MS, "UNLINK", removing);
    } finally {
      connection.close();
    }
  }
}
