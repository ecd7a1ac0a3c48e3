/**
 * Connections for tests that are not about how long the product waits for Redis: a machine that stands
 * still for two seconds is not to be mistaken for a Redis that does not answer.
 */
import {
  redisConnections,
  type OpenRedisConnection,
  type RedisConnection,
} from "../../src/revocation-log/connection-redis.js";

/** How many times as long as the product does they wait for an answer. */
const PATIENCE = 10;
const OPENINGS_MAX = 3;

export function patientConnections(url: string): OpenRedisConnection {
  const open = redisConnections({ url });
  return async () => {
    const opened = await openAgain(open, OPENINGS_MAX);
    return {
      client: opened.client,
      address: opened.address,
      within: (withinMs, what, command) => opened.within(PATIENCE * withinMs, what, command),
      close: () => opened.close(),
    };
  };
}

/** Where nobody listens every attempt fails at once, so that costs nothing. */
async function openAgain(open: OpenRedisConnection, attempts: number): Promise<RedisConnection> {
  try {
    return await open();
  } catch (error) {
    if (attempts <= 1) throw error;
    return openAgain(open, attempts - 1);
  }
}
