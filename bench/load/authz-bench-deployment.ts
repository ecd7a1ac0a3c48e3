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
import { waitUntil } from "../../dev/wait-for.js";
import { systemClock } from "../../src/runtime/clock.js";
import { redisConnections } from "../../src/revocation-log/connection-redis.js";
import type { Revocation } from "../../src/revocation-log/entry.js";
import { horizonS } from "../../src/revocation-log/horizon.js";
import { setLogFormat } from "../../src/revocation-log/log-format-redis.js";
import { openLog } from "../../src/revocation-log/log-opening-redis.js";
import { RedisNodeRows } from "../../src/revocation-log/node-rows-redis.js";
import type { LogFormat } from "../../src/revocation-log/packed-entry.js";
import { LOG_KEYS } from "../../src/revocation-log/partition.js";
import { RedisPublisher } from "../../src/revocation-log/publisher-redis.js";
import {
  ReceiptCollector,
  type EntryAddress,
  type Receipt,
} from "../../src/revocation-log/receipt.js";

export const CLOCK_SKEW_S = 5;
/** As the nodes have it: their longest token lifetime and skew are the usual ones. */
export const HORIZON_S = horizonS(900, CLOCK_SKEW_S);
/** A replica that has nothing yet is synchronised 5 s after it attached. */
const REPLICAS_TIMEOUT_MS = 30_000;

export class AuthzBenchDeployment {
  readonly mint: TokenMint;
  readonly redisUrl: string;
  readonly #publisher: RedisPublisher;
  readonly #rows: RedisNodeRows;
  readonly #receipts: ReceiptCollector;

  private constructor(
    mint: TokenMint,
    redisUrl: string,
    log: { readonly publisher: RedisPublisher; readonly rows: RedisNodeRows },
  ) {
    this.mint = mint;
    this.redisUrl = redisUrl;
    this.#publisher = log.publisher;
    this.#rows = log.rows;
    this.#receipts = new ReceiptCollector(log.rows, systemClock);
  }

  /**
   * Starts Redis (or takes the one that is given), opens a log in it in which nothing was ever
   * revoked, and starts an issuer. With `replicas`, half of them must confirm each revocation.
   *
   * @throws LogInUse when the given Redis holds a log already
   */
  static async open(
    closing: Closing,
    given: string | undefined,
    replicas = 0,
  ): Promise<AuthzBenchDeployment> {
    const folder = await closing.keep(mkdtemp(join(tmpdir(), "sekisho-bench-")), async (made) =>
      rm(made, { recursive: true, force: true }),
    );
    const { url } = await (given === undefined
      ? closing.keep(RedisServer.start(), (redis) => redis.close())
      : closing.keep(ExternalRedis.take(given), (redis) => redis.close()));
    const open = redisConnections({ url });
    await startReplicas(closing, url, replicas);
    const minReplicas = Math.ceil(replicas / 2);
    const keys = LOG_KEYS;
    const [outcome] = await openLog(open, keys, {
      generation: randomUUID(),
      authority: "redis",
      horizonS: HORIZON_S,
      nothingWasRevoked: true,
      replace: false,
      minReplicas,
    });
    if (outcome !== "opened") throw new LogInUse();
    const publisher = new RedisPublisher({
      open,
      keys,
      clock: systemClock,
      authority: "redis",
      minReplicas,
      clockSkewS: CLOCK_SKEW_S,
    });
    const rows = new RedisNodeRows(open, keys);
    for (const opened of [publisher, rows]) {
      await closing.keep(Promise.resolve(opened), () => opened.close());
    }
    return new AuthzBenchDeployment(await createTokenMint(folder), url, { publisher, rows });
  }

  /** What `sekisho revoke` does. Returns where the entry is in the log. */
  async revoke(revocation: Revocation): Promise<EntryAddress> {
    const outcome = await this.#publisher.publish({
      revocation,
      eventId: randomUUID(),
      atMs: systemClock.wallMs(),
      reason: "benchmark",
      actor: "benchmark",
    });
    if (!outcome.published) throw new Error(`not published: ${outcome.message}`);
    return outcome;
  }

  /** What `sekisho revoke --wait` waits for. */
  async receiptOf(entry: EntryAddress, waitMs: number): Promise<Receipt> {
    return this.#receipts.waitFor(entry, waitMs);
  }

  /** The last entry that each node's row confirms. */
  async appliedSeqs(): Promise<readonly number[]> {
    return (await this.#rows.nodeRows()).rows.map(({ row }) => row.seq);
  }

  /** What `sekisho log format` does. */
  async writeFormat(format: LogFormat): Promise<void> {
    const outcome = await setLogFormat(redisConnections({ url: this.redisUrl }), LOG_KEYS, format);
    if (outcome.kind !== "set") throw new Error(`format ${format}: ${outcome.kind}`);
  }
}

/** Before the log is opened: the first replica changes the server's replication ID. */
async function startReplicas(closing: Closing, masterUrl: string, count: number): Promise<void> {
  if (count === 0) return;
  const { hostname, port } = new URL(masterUrl);
  for (let started = 0; started < count; started += 1) {
    const args = ["--replicaof", hostname, port];
    await closing.keep(RedisServer.start({ args }), (replica) => replica.close());
  }
  const connection = await redisConnections({ url: masterUrl })();
  try {
    await waitUntil(
      async () =>
        (await connection.client.info("replication")).match(/state=online/gu)?.length === count,
      { what: "the replicas to follow", timeoutMs: REPLICAS_TIMEOUT_MS },
    );
  } finally {
    connection.close();
  }
}
