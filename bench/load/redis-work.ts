/** What Redis says that it has worked so far (INFO, sections cpu and commandstats). */
import {
  redisConnections,
  type RedisConnection,
} from "../../src/revocation-log/connection-redis.js";

const TIMEOUT_MS = 5000;

/** Milliseconds of processor time. */
export interface RedisWork {
  readonly allMs: number;
  /** Of that, scripts: what publishing costs. */
  readonly scriptsMs: number;
}

/** Asks on a connection of its own, beside those that are measured. */
export class RedisMeter {
  readonly #connection: RedisConnection;

  private constructor(connection: RedisConnection) {
    this.#connection = connection;
  }

  static async open(url: string): Promise<RedisMeter> {
    return new RedisMeter(await redisConnections({ url })());
  }

  async read(): Promise<RedisWork> {
    const { client } = this.#connection;
    const asked = Promise.all([client.info("cpu"), client.info("commandstats")]);
    return redisWorkIn(...(await this.#connection.within(TIMEOUT_MS, "INFO", asked)));
  }

  close(): void {
    this.#connection.close();
  }
}

/** @throws Error for a reply without the processor's times */
export function redisWorkIn(cpu: string, commandstats: string): RedisWork {
  const seconds = (name: string): number => {
    const text = new RegExp(`^${name}:([0-9.]+)`, "mu").exec(cpu)?.[1];
    if (text === undefined) throw new Error(`Redis says nothing about ${name}`);
    return Number(text);
  };
  const scripts = /^cmdstat_eval:calls=\d+,usec=(?<usec>\d+)/mu.exec(commandstats)?.[1] ?? 0;
  return {
    allMs: 1000 * (seconds("used_cpu_sys") + seconds("used_cpu_user")),
    scriptsMs: Number(scripts) / 1000,
  };
}

export function workBetween(before: RedisWork, after: RedisWork): RedisWork {
  return {
    allMs: after.allMs - before.allMs,
    scriptsMs: after.scriptsMs - before.scriptsMs,
  };
}
