import { redisConnections } from "../../src/revocation-log/connection-redis.js";
import { partitionKeys } from "../../src/revocation-log/partition.js";

const COMMAND_TIMEOUT_MS = 2_000;

/** The Redis that was given holds a revocation log, which is not for a demo or a benchmark. */
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
 * A Redis that was there before. The log that is opened in it is removed at the end;
 * what the session service counts in it for its limits goes by itself within ten minutes.
 */
export class GivenRedis {
  readonly url: string;

  private constructor(url: string) {
    this.url = url;
  }

  /** @throws LogInUse when there is a log in it */
  static async take(url: string): Promise<GivenRedis> {
    const { log, meta, nodes } = partitionKeys(0);
    const connection = await redisConnections(url)();
    try {
      const looking = connection.client.exists(log, meta, nodes);
      const found = await connection.within(COMMAND_TIMEOUT_MS, "EXISTS", looking);
      if (found > 0) throw new LogInUse();
    } finally {
      connection.close();
    }
    return new GivenRedis(url);
  }

  /** Removes the log; the session service has to have ended, or it would restore it. */
  async close(): Promise<void> {
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
