/** `sekisho revoke` where the log has no session service, or past the service in an emergency. */
import { randomUUID } from "node:crypto";
import { systemClock } from "../runtime/clock.js";
import type { OperatorConfig } from "./operator-config.js";
import { redisConnections } from "../revocation-log/connection-redis.js";
import type { Revocation } from "../revocation-log/entry.js";
import { RedisNodeRows } from "../revocation-log/node-rows-redis.js";
import { LOG_KEYS } from "../revocation-log/partition.js";
import { RedisPublisher } from "../revocation-log/publisher-redis.js";
import type { PublishOutcome } from "../revocation-log/publisher.js";
import { ReceiptCollector, type Receipt } from "../revocation-log/receipt.js";
import { RevocationLogError } from "../revocation-log/revocation-log.js";
import { commandActor } from "../runtime/command-actor.js";
import { EXIT, type ExitCode } from "../runtime/exit-codes.js";
import { tellRevocation, type RevocationAnswer } from "./revoke-answer.js";

export interface RedisRevocation {
  readonly revocation: Revocation;
  readonly reason: string | undefined;
  /** undefined: do not wait for a receipt. */
  readonly waitMs: number | undefined;
  readonly json: boolean;
  /** Also into a log that the session service writes. It finds the entry there and records it. */
  readonly breakGlass: boolean;
}

export async function revokeThroughRedis(
  config: OperatorConfig,
  request: RedisRevocation,
): Promise<ExitCode> {
  const open = redisConnections(config.redisUrl);
  const keys = LOG_KEYS;
  const clock = systemClock;
  const publisher = new RedisPublisher({
    open,
    keys,
    clock,
    authority: "redis",
    breakGlass: request.breakGlass,
    minReplicas: config.redisMinReplicas,
    clockSkewS: config.clockSkewS,
  });
  const rows = new RedisNodeRows(open, keys);
  const eventId = randomUUID();
  const { revocation, reason, waitMs } = request;
  try {
    const outcome = await publisher.publish({
      revocation,
      eventId,
      atMs: clock.wallMs(),
      reason,
      actor: commandActor(),
    });
    const receipt = await receiptFor(outcome, waitMs, new ReceiptCollector(rows, clock));
    const answer = { eventId, revocation, outcome, receipt };
    tellRevocation(answer, request.json);
    return exitCodeFor(answer);
  } finally {
    publisher.close();
    rows.close();
  }
}

async function receiptFor(
  outcome: PublishOutcome,
  waitMs: number | undefined,
  receipts: ReceiptCollector,
): Promise<Receipt | "unknown" | undefined> {
  if (!outcome.published || waitMs === undefined) return undefined;
  try {
    return await receipts.waitFor(outcome, waitMs);
  } catch (error) {
    if (error instanceof RevocationLogError) return "unknown";
    throw error;
  }
}

function exitCodeFor({ outcome, receipt }: RevocationAnswer): ExitCode {
  if (!outcome.published) return EXIT.failed;
  if (receipt === undefined) return EXIT.done;
  return receipt === "unknown" || receipt.pending.length > 0 ? EXIT.unconfirmed : EXIT.done;
}
