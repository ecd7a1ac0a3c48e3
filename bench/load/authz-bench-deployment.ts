/** What the load runs against, but for what is measured: Redis with a log in it, and an issuer. */
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { ExternalRedis, LogInUse } from "../../dev/demo/external-redis.js";
import type { Closing } from "../../dev/demo/demo-deployment.js";
import { RedisServer } from "../../dev/redis-server.js";
import { createTokenMint } from "../../dev/token-mint.js";
import type { TokenMint } from "../../dev/token-mint.js";
import { systemClock } from "../../src/runtime/clock.js";
import { redisConnections } from "../../src/revocation-log/connection-redis.js";
import type { Revocation } from "../../src/revocation-log/entry.js";
import { horizonS } from "../../src/revocation-log/horizon.js";
import { openLog } from "../../src/revocation-log/log-opening-redis.js";
import { LOG_KEYS } from "../../src/revocation-log/partition.js";
import { RedisPublisher } from "../../src/revocation-log/publisher-redis.js";

const CLOCK_SKEW_S = 5;
/** As the nodes have it: their longest token lifetime and skew are the usual ones. */
const HORIZON_S = horizonS(900, CLOCK_SKEW_S);

export class AuthzBenchDeployment {
  readonly mint: TokenMint;
  readonly redisUrl: string;
  readonly #publisher: RedisPublisher;

  private constructor(mint: TokenMint, redisUrl: string, publisher: RedisPublisher) {
    this.mint = mint;
    this.redisUrl = redisUrl;
    this.#publisher = publisher;
  }

  /**
   * Starts Redis (or takes the one that is given), opens a log in it in which nothing was ever
   * revoked, and starts an issuer.
   *
   * @throws LogInUse when the given Redis holds a log already
   */
  static async open(closing: Closing, given: string | undefined): Promise<AuthzBenchDeployment> {
    const folder = await closing.keep(mkdtemp(join(tmpdir(), "sekisho-bench-")), async (made) =>
      rm(made, { recursive: true, force: true }),
    );
    const { url } = await (given === undefined
      ? closing.keep(RedisServer.start(), (redis) => redis.close())
      : closing.keep(ExternalRedis.take(given), (redis) => redis.close()));
    const open = redisConnections(url);
    const keys = LOG_KEYS;
    const [outcome] = await openLog(open, keys, {
      generation: randomUUID(),
      authority: "redis",
      horizonS: HORIZON_S,
      nothingWasRevoked: true,
      replace: false,
      minReplicas: 0,
    });
    if (outcome !== "opened") throw new LogInUse();
    const publisher = new RedisPublisher({
      open,
      keys,
      clock: systemClock,
      authority: "redis",
      minReplicas: 0,
      clockSkewS: CLOCK_SKEW_S,
    });
    await closing.keep(Promise.resolve(publisher), (opened) => opened.close());
    return new AuthzBenchDeployment(await createTokenMint(folder), url, publisher);
  }

  /** What `sekisho revoke` does. */
  async revoke(revocation: Revocation): Promise<void> {
    const outcome = await this.#publisher.publish({
      revocation,
      eventId: randomUUID(),
      atMs: systemClock.wallMs(),
      reason: "benchmark",
      actor: "benchmark",
    });
    if (!outcome.published) throw new Error(`not published: ${outcome.message}`);
  }
}
