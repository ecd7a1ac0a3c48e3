/** `sekisho revoke`: revokes tokens, and can wait for the receipt. */
import { Option, type Command } from "commander";
import { systemClock } from "../runtime/clock.js";
import { readOperatorPath } from "./operator-config.js";
import type { CommandContext } from "./command-context.js";
import { requireReaders, requireYes, type Confirmed } from "./consent.js";
import type { Revocation } from "../revocation-log/entry.js";
import type { ExitCode } from "../runtime/exit-codes.js";
import {
  parseEpoch,
  parseId,
  parseIssuer,
  parseReason,
  parseThumbprint,
  parseTime,
  parseWait,
} from "./option-values.js";
import { revokeThroughRedis } from "./revoke-through-redis.js";
import { revokeThroughService, type ServiceAct } from "./revoke-through-service.js";
import { readUnverifiedToken } from "../tokens/unverified-token.js";
import { readTokenFromStdin } from "./token-from-stdin.js";

interface CommonOptions {
  readonly reason?: string;
  readonly wait?: number;
  readonly json?: true;
  readonly breakGlass?: true;
}

interface CutOffOptions extends CommonOptions {
  readonly issuedBefore?: number | "now";
}

const IF_UNREAD = "where a node cannot read it";
const YES_IF_UNREAD = `needed ${IF_UNREAD}`;

/** What to revoke, in the two ways to say it. */
interface Revoking {
  /** A text: why the session service does not do that. */
  readonly service: ServiceAct | string;
  /** `skewS`: the difference between clocks that is allowed for. A text: why Redis alone will not do. */
  readonly redis: ((skewS: number) => Revocation) | string;
}

export function addRevokeCommand(program: Command, context: CommandContext): void {
  const revoke = program
    .command("revoke")
    .description("refuse tokens from now on, and end their sessions");
  const run: Run = async (options, command, revoking) =>
    context.end(await revokeBy(context.env, options, command, revoking));
  addSession(revoke, run);
  addUser(revoke, run);
  addToken(revoke, run);
  addClient(revoke, run);
  addTenant(revoke, run);
  addKey(revoke, run);
  addAll(revoke, run);
}

type Run = (
  options: CommonOptions & Confirmed,
  command: Command,
  revoking: Revoking,
) => Promise<void>;

function addSession(revoke: Command, run: Run): void {
  withCommonOptions(revoke.command("session"))
    .description("end one session (one login on one device)")
    .requiredOption("--tenant <id>", "the tenant", parseId)
    .requiredOption("--session <id>", "the session", parseId)
    .option("--user <id>", "whose session it is, for the record", parseId)
    .action(
      async (
        options: CommonOptions & { tenant: string; session: string; user?: string },
        command: Command,
      ) => {
        const { tenant, session, user } = options;
        const kind = "session_revoked";
        await run(options, command, {
          service:
            user === undefined
              ? "the session service needs the session's user: add --user"
              : { kind, tenant, session, user },
          redis: () => ({ kind, tenant, session, user }),
        });
      },
    );
}

function addUser(revoke: Command, run: Run): void {
  withCutOff(withCommonOptions(revoke.command("user")))
    .description("end all of a user's tokens, by epoch or by time of issue")
    .requiredOption("--tenant <id>", "the tenant", parseId)
    .requiredOption("--user <id>", "the user", parseId)
    .addOption(
      new Option(
        "--epoch <n>",
        "the user's new epoch, from the issuer's database (the session service knows it)",
      )
        .argParser(parseEpoch)
        .conflicts("issuedBefore"),
    )
    .action(
      async (
        options: CutOffOptions & { tenant: string; user: string; epoch?: number },
        command: Command,
      ) => {
        const { tenant, user, epoch, issuedBefore } = options;
        const kind = "user_revoked";
        const given = epoch !== undefined || issuedBefore !== undefined;
        await run(options, command, {
          service: given
            ? "the session service raises the epoch by itself: leave out --epoch and --issued-before"
            : { kind, tenant, user },
          redis: given
            ? (skewS) => ({
                kind,
                tenant,
                user,
                epoch,
                issuedBefore: issuedBefore && cutOff(issuedBefore, skewS),
              })
            : "one of --epoch and --issued-before is needed, or the session service, which knows the " +
              "epoch: set SEKISHO_SESSIONS_URL and SEKISHO_SESSIONS_TOKEN",
        });
      },
    );
}

function addToken(revoke: Command, run: Run): void {
  withCommonOptions(revoke.command("token"))
    .description("refuse one token, read from standard input")
    .option("--tenant <id>", "the tenant, if the token's `tenant_id` does not name it", parseId)
    .option("--yes", YES_IF_UNREAD)
    .action(async (options: CommonOptions & Confirmed & { tenant?: string }, command: Command) => {
      const raw = await readTokenFromStdin();
      const token = raw === undefined ? undefined : readUnverifiedToken(raw);
      if (raw === undefined || token === undefined) {
        command.error("error: standard input is not a token that names its issuer (`iss`)");
      }
      const tenant = options.tenant ?? token.tenant;
      if (tenant === undefined) {
        command.error("error: the token has no `tenant_id`: add --tenant");
      }
      if (token.tenant !== undefined && token.tenant !== tenant) {
        command.error("error: the token names another tenant than --tenant");
      }
      const { issuer, jti, signedDigest } = token;
      const kind = "token_revoked";
      await run(options, command, {
        service: { kind, tenant, token: raw },
        redis: () => ({ kind, tenant, issuer, jti, signedDigest }),
      });
    });
}

function addClient(revoke: Command, run: Run): void {
  withCutOff(withCommonOptions(revoke.command("client")))
    .description("refuse every token that an OAuth client was issued so far")
    .requiredOption("--client <id>", "the client: `client_id` of its tokens, or `azp`", parseId)
    .addOption(
      new Option("--tenant <id>", "in this tenant").argParser(parseId).conflicts("allTenants"),
    )
    .option("--all-tenants", "in all tenants")
    .option("--yes", `needed with --all-tenants, or ${IF_UNREAD}`)
    .action(
      async (
        options: CutOffOptions & Confirmed & { client: string; tenant?: string; allTenants?: true },
        command: Command,
      ) => {
        const { client, tenant } = options;
        if (tenant === undefined && options.allTenants !== true) {
          command.error("error: one of --tenant and --all-tenants is needed");
        }
        if (tenant === undefined) {
          requireYes(options, command, `every token of client ${client} in all tenants is refused`);
        }
        const kind = "client_revoked";
        await run(options, command, byCutOff(options, { kind, tenant, client }));
      },
    );
}

function addTenant(revoke: Command, run: Run): void {
  withCutOff(withCommonOptions(revoke.command("tenant")))
    .description("end all sessions of a tenant and refuse every token issued in it so far")
    .requiredOption("--tenant <id>", "the tenant", parseId)
    .option("--yes", YES_IF_UNREAD)
    .action(async (options: CutOffOptions & Confirmed & { tenant: string }, command: Command) => {
      const { tenant } = options;
      await run(options, command, byCutOff(options, { kind: "tenant_revoked", tenant }));
    });
}

function addKey(revoke: Command, run: Run): void {
  withCommonOptions(revoke.command("key"))
    .description("refuse whatever an issuer's key has signed or will sign")
    .requiredOption("--issuer <iss>", "the issuer, as in its tokens' `iss`", parseIssuer)
    .requiredOption("--thumbprint <sha256>", "the key's RFC 7638 thumbprint", parseThumbprint)
    .option("--lift", "stop that, through the session service")
    .option("--yes", "needed without --lift")
    .action(
      async (
        options: CommonOptions & Confirmed & { issuer: string; thumbprint: string; lift?: true },
        command: Command,
      ) => {
        const { issuer, thumbprint, lift } = options;
        if (lift !== true) {
          requireYes(options, command, `every token that this key of ${issuer} signs is refused`);
        }
        const kind = "key_revoked";
        await run(options, command, {
          service: { kind: lift === true ? "key_revocation_lifted" : kind, issuer, thumbprint },
          redis:
            lift === true
              ? "only the session service lifts; without one the log forgets the key by itself"
              : () => ({ kind, issuer, thumbprint }),
        });
      },
    );
}

function addAll(revoke: Command, run: Run): void {
  withCutOff(withCommonOptions(revoke.command("all")))
    .description("end all sessions of all tenants and refuse every token issued so far")
    .option("--yes", "needed")
    .action(async (options: CutOffOptions & Confirmed, command: Command) => {
      requireYes(options, command, "every user of every tenant has to log in again");
      await run(options, command, byCutOff(options, { kind: "all_revoked" }));
    });
}

function withCommonOptions(command: Command): Command {
  return command
    .option("--reason <text>", "why, for the record", parseReason)
    .option("--wait <ms>", "wait up to this long until every node has applied it", parseWait)
    .option("--json", "answer in JSON")
    .option(
      "--break-glass",
      "write directly into Redis, past the session service, which records it later",
    );
}

function withCutOff(command: Command): Command {
  return command.option(
    "--issued-before <time>",
    "revoke what was issued before: `now`, Unix seconds or 2026-01-31T12:00:00Z",
    parseTime,
  );
}

/** Where no time is given, the present one, which is all that the service takes. */
function byCutOff(
  { issuedBefore }: CutOffOptions,
  act: Extract<ServiceAct, { kind: "client_revoked" | "tenant_revoked" | "all_revoked" }>,
): Revoking {
  return {
    service:
      issuedBefore === undefined
        ? act
        : "the session service takes the present time: leave out --issued-before",
    redis: (skewS) => ({ ...act, issuedBefore: cutOff(issuedBefore ?? "now", skewS) }),
  };
}

/**
 * `now` means the skew and a second later: a token issued by a clock ahead of this one, or within
 * this very second, is revoked too. A login within that time has to be repeated.
 */
function cutOff(issuedBefore: number | "now", skewS: number): number {
  if (issuedBefore !== "now") return issuedBefore;
  return Math.ceil(systemClock.wallMs() / 1000) + skewS + 1;
}

async function revokeBy(
  env: NodeJS.ProcessEnv,
  options: CommonOptions & Confirmed,
  command: Command,
  { service, redis }: Revoking,
): Promise<ExitCode> {
  const { reason, wait: waitMs } = options;
  const [json, breakGlass] = [options.json === true, options.breakGlass === true];
  const path = readOperatorPath(env, breakGlass);
  const rest = { reason, waitMs, json };
  if (path.kind === "service") {
    if (typeof service === "string") command.error(`error: ${service}`);
    const { kind } = service;
    if (kind !== "key_revocation_lifted") {
      await requireReaders(path, { ...service, kind }, options, command);
    }
    return revokeThroughService(path.service, { act: service, ...rest });
  }
  if (typeof redis === "string") command.error(`error: ${redis}`);
  const revocation = redis(path.redis.clockSkewS);
  await requireReaders(path, revocation, options, command);
  return revokeThroughRedis(path.redis, { revocation, breakGlass, ...rest });
}
