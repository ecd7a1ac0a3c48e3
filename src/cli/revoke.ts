/** `sekisho revoke`: ends a session or a user's tokens, and can wait for the receipt. */
import { Option, type Command } from "commander";
import { systemClock } from "../runtime/clock.js";
import { readOperatorPath } from "./operator-config.js";
import type { CommandContext } from "./command-context.js";
import type { ExitCode } from "../runtime/exit-codes.js";
import { parseEpoch, parseId, parseReason, parseTime, parseWait } from "./option-values.js";
import { revokeThroughRedis } from "./revoke-through-redis.js";
import { revokeThroughService, type ServiceRevocation } from "./revoke-through-service.js";

type UsersRevocation = ServiceRevocation["revocation"];

interface CommonOptions {
  readonly tenant: string;
  readonly reason?: string;
  readonly wait?: number;
  readonly json?: true;
  readonly breakGlass?: true;
}

interface UserOptions {
  readonly user: string;
  readonly epoch?: number;
  readonly issuedBefore?: number | "now";
}

export function addRevokeCommand(program: Command, context: CommandContext): void {
  const revoke = program.command("revoke").description("end a session or a user's tokens now");
  withCommonOptions(revoke.command("session"))
    .description("end one session (one login on one device)")
    .requiredOption("--session <id>", "the session", parseId)
    .option("--user <id>", "whose session it is, for the record", parseId)
    .action(async (options: CommonOptions & { session: string; user?: string }) => {
      const { tenant, session, user } = options;
      const revocation: UsersRevocation = { kind: "session_revoked", tenant, session, user };
      context.end(await revokeBy(context.env, options, () => revocation));
    });
  withCommonOptions(revoke.command("user"))
    .description("end all of a user's tokens, by epoch or by time of issue")
    .requiredOption("--user <id>", "the user", parseId)
    .addOption(
      new Option(
        "--epoch <n>",
        "the user's new epoch, from the issuer's database (the session service knows it)",
      )
        .argParser(parseEpoch)
        .conflicts("issuedBefore"),
    )
    .option(
      "--issued-before <time>",
      "revoke what was issued before: `now`, Unix seconds or 2026-01-31T12:00:00Z",
      parseTime,
    )
    .action(async (options: CommonOptions & UserOptions, command: Command) => {
      context.end(await revokeUser(context.env, options, command));
    });
}

function withCommonOptions(command: Command): Command {
  return command
    .requiredOption("--tenant <id>", "the tenant", parseId)
    .option("--reason <text>", "why, for the record", parseReason)
    .option("--wait <ms>", "wait up to this long until every node has applied it", parseWait)
    .option("--json", "answer in JSON")
    .option(
      "--break-glass",
      "write directly into Redis, past the session service, which records it later",
    );
}

/**
 * `now` means the skew and a second later: a token issued by a clock ahead of this one, or within
 * this very second, is revoked too. A login within that time has to be repeated.
 */
function userRevocation(options: CommonOptions & UserOptions): (skewS: number) => UsersRevocation {
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

/** The session service raises the epoch itself; without it, an option must say what to revoke. */
async function revokeUser(
  env: NodeJS.ProcessEnv,
  options: CommonOptions & UserOptions,
  command: Command,
): Promise<ExitCode> {
  const path = readOperatorPath(env, options.breakGlass === true);
  const given = options.epoch !== undefined || options.issuedBefore !== undefined;
  if (path.kind === "service" && given) {
    command.error(
      "error: the session service raises the epoch by itself: leave out --epoch and --issued-before",
    );
  }
  if (path.kind === "redis" && !given) {
    command.error(
      "error: one of --epoch and --issued-before is needed, or the session service, which knows the " +
        "epoch: set SEKISHO_SESSIONS_URL and SEKISHO_SESSIONS_TOKEN",
    );
  }
  return revokeBy(env, options, userRevocation(options));
}

async function revokeBy(
  env: NodeJS.ProcessEnv,
  options: CommonOptions,
  revocationFor: (skewS: number) => UsersRevocation,
): Promise<ExitCode> {
  const { reason, wait: waitMs } = options;
  const [json, breakGlass] = [options.json === true, options.breakGlass === true];
  const path = readOperatorPath(env, breakGlass);
  const revocation = revocationFor(path.kind === "redis" ? path.redis.clockSkewS : 0);
  const request = { revocation, reason, waitMs, json };
  return path.kind === "service"
    ? revokeThroughService(path.service, request)
    : revokeThroughRedis(path.redis, { ...request, breakGlass });
}
