/** `sekisho revoke`: publishes a revocation straight into Redis and can wait for the receipt. */
import { randomUUID } from "node:crypto";
import { userInfo } from "node:os";
import { InvalidArgumentError, Option, type Command } from "commander";
import { systemClock } from "../clock/clock.js";
import { readOperatorConfig } from "../config/operator-config.js";
import { isIdentifier } from "../identity/identifier.js";
import { redisConnections } from "../revocation/connection-redis.js";
import type { Revocation } from "../revocation/entry.js";
import { RedisNodeRows } from "../revocation/node-rows-redis.js";
import { partitionKeys } from "../revocation/partition.js";
import { RedisPublisher } from "../revocation/publisher-redis.js";
import type { PublishOutcome } from "../revocation/publisher.js";
import { ReceiptDesk, type Receipt } from "../revocation/receipt.js";
import { RevocationLogError } from "../revocation/revocation-log.js";
import type { CommandContext } from "./command-line.js";
import { EXIT, type ExitCode } from "./exit-codes.js";
import { tellRevocation, type RevocationAnswer } from "./revoke-answer.js";

const WAIT_MAX_MS = 60_000;
const REASON_MAX_LENGTH = 256;

interface CommonOptions {
  readonly tenant: string;
  readonly reason?: string;
  readonly wait?: number;
  readonly json?: true;
}

export function addRevokeCommand(program: Command, context: CommandContext): void {
  const revoke = program.command("revoke").description("end a session or a user's tokens now");
  withCommonOptions(revoke.command("session"))
    .description("end one session (one login on one device)")
    .requiredOption("--session <id>", "the session", parseId)
    .option("--user <id>", "whose session it is, for the record", parseId)
    .action(async (options: CommonOptions & { session: string; user?: string }) => {
      const { tenant, session, user } = options;
      const revocation: Revocation = { kind: "session_revoked", tenant, session, user };
      context.end(await publish(context.env, () => revocation, options));
    });
  withCommonOptions(revoke.command("user"))
    .description("end all of a user's tokens, by epoch or by time of issue")
    .requiredOption("--user <id>", "the user", parseId)
    .addOption(
      new Option("--epoch <n>", "the user's new epoch, from the issuer's database")
        .argParser(parseEpoch)
        .conflicts("issuedBefore"),
    )
    .option(
      "--issued-before <time>",
      "revoke what was issued before: `now`, Unix seconds or 2026-01-31T12:00:00Z",
      parseTime,
    )
    .action(async (options: CommonOptions & UserOptions, command: Command) => {
      if (options.epoch === undefined && options.issuedBefore === undefined) {
        command.error("error: one of --epoch and --issued-before is needed");
      }
      context.end(await publish(context.env, userRevocation(options), options));
    });
}

interface UserOptions {
  readonly user: string;
  readonly epoch?: number;
  readonly issuedBefore?: number | "now";
}

function withCommonOptions(command: Command): Command {
  return command
    .requiredOption("--tenant <id>", "the tenant", parseId)
    .option("--reason <text>", "why, for the record", parseReason)
    .option("--wait <ms>", "wait this long until every node has applied it", parseWait)
    .option("--json", "answer in JSON");
}

/**
 * `now` means the skew and a second later: a token that was issued by a clock ahead of this one, or
 * within this very second, is revoked too. A login within that time has to be repeated.
 */
function userRevocation(options: CommonOptions & UserOptions): (skewS: number) => Revocation {
  const { tenant, user, epoch, issuedBefore } = options;
  return (skewS) => ({
    kind: "user_revoked",
    tenant,
    user,
    epoch,
    issuedBefore:
      issuedBefore === "now" ? Math.ceil(systemClock.wallMs() / 1000) + skewS + 1 : issuedBefore,
  });
}

async function publish(
  env: NodeJS.ProcessEnv,
  revocationFor: (skewS: number) => Revocation,
  options: CommonOptions,
): Promise<ExitCode> {
  const config = readOperatorConfig(env);
  const open = redisConnections(config.redisUrl);
  const keys = partitionKeys(0);
  const clock = systemClock;
  const publisher = new RedisPublisher({
    open,
    keys,
    clock,
    authority: "redis",
    minReplicas: config.redisMinReplicas,
    clockSkewS: config.clockSkewS,
  });
  const rows = new RedisNodeRows(open, keys);
  const eventId = randomUUID();
  const revocation = revocationFor(config.clockSkewS);
  try {
    const outcome = await publisher.publish({
      revocation,
      eventId,
      atMs: clock.wallMs(),
      reason: options.reason,
      actor: actor(),
    });
    const receipt = await receiptFor(outcome, options.wait, new ReceiptDesk(rows, clock));
    const answer = { eventId, revocation, outcome, receipt };
    tellRevocation(answer, options.json === true);
    return exitCodeFor(answer);
  } finally {
    publisher.close();
    rows.close();
  }
}

async function receiptFor(
  outcome: PublishOutcome,
  waitMs: number | undefined,
  desk: ReceiptDesk,
): Promise<Receipt | "unknown" | undefined> {
  if (!outcome.published || waitMs === undefined) return undefined;
  try {
    return await desk.waitFor(outcome, waitMs);
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

/** Who ran the command, as far as this machine knows. */
function actor(): string {
  try {
    return `cli:${userInfo().username}`;
  } catch {
    return "cli";
  }
}

function parseId(text: string, previous: string | undefined): string {
  refuseTwice(previous);
  // Bytes that are not UTF-8 arrive as U+FFFD: another id than the one that was meant.
  if (text.includes("\uFFFD")) throw new InvalidArgumentError("It must be UTF-8.");
  if (isIdentifier(text)) return text;
  throw new InvalidArgumentError("It must be 1 to 256 characters without control characters.");
}

function parseReason(text: string): string {
  if (text.isWellFormed() && text.length <= REASON_MAX_LENGTH) return text;
  throw new InvalidArgumentError(`It must be at most ${REASON_MAX_LENGTH} characters.`);
}

function parseWait(text: string): number {
  const value = /^[0-9]{1,6}$/.test(text) ? Number(text) : NaN;
  if (value <= WAIT_MAX_MS) return value;
  throw new InvalidArgumentError(`It must be milliseconds from 0 to ${WAIT_MAX_MS}.`);
}

function refuseTwice(previous: unknown): void {
  if (previous !== undefined) throw new InvalidArgumentError("It must be given once.");
}

function parseEpoch(text: string, previous: number | undefined): number {
  refuseTwice(previous);
  const value = /^(0|[1-9][0-9]{0,15})$/.test(text) ? Number(text) : NaN;
  if (Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError("It must be a whole number from 0 to 2^53−1.");
}

const ISO_TIME = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9]{2}:[0-9]{2})$/;

/** Unix seconds, rounded up. Milliseconds are refused: they would revoke everything for ever. */
function parseTime(text: string, previous: number | "now" | undefined): number | "now" {
  refuseTwice(previous);
  if (text === "now") return "now";
  if (/^[1-9][0-9]{0,9}$/.test(text)) return Number(text);
  const parsed = ISO_TIME.test(text) ? Date.parse(text) : NaN;
  if (!Number.isNaN(parsed)) return Math.ceil(parsed / 1000);
  throw new InvalidArgumentError(
    "It must be `now`, Unix seconds, or a time with its zone like 2026-01-31T12:00:00Z.",
  );
}
