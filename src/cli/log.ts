/**
 * `sekisho log`: opens a revocation log that has no session service, and closes one that is being
 * abandoned.
 */
import { randomUUID } from "node:crypto";
import { InvalidArgumentError, Option, type Command } from "commander";
import { readOperatorConfig } from "./operator-config.js";
import { redisConnections } from "../revocation-log/connection-redis.js";
import { openLog, type OpenLogOutcome } from "../revocation-log/log-opening-redis.js";
import { setLogFormat } from "../revocation-log/log-format-redis.js";
import { LOG_FORMATS, type LogFormat } from "../revocation-log/packed-entry.js";
import { LOG_KEYS } from "../revocation-log/partition.js";
import { RevocationLogError } from "../revocation-log/revocation-log.js";
import type { CommandContext } from "./command-context.js";
import { EXIT, type ExitCode } from "../runtime/exit-codes.js";

export function addLogCommand(program: Command, context: CommandContext): void {
  const log = program
    .command("log")
    .description("open, set up or retire a revocation log in Redis");
  log
    .command("init")
    .description("open a log, or raise the horizon of an existing one")
    .option(
      "--nothing-was-revoked",
      "for a new deployment: accept tokens issued before now (otherwise they are refused as stale)",
    )
    .option("--replace", "delete the existing log, with every revocation in it")
    .option(
      "--min-replicas <count>",
      "how many replicas must have a revocation before it counts as published; also changes an existing " +
        "log (left out: SEKISHO_REDIS_MIN_REPLICAS, for a new log only)",
      readReplicas,
    )
    .action(async (options: InitOptions) => {
      context.end(await initLog(context.env, options));
    });
  log
    .command("format")
    .description("set the format in which entries are written; nodes must read it already")
    .argument(
      "<format>",
      "1: a field for each name; 2: packed, which nodes read much faster",
      readFormat,
    )
    .action(async (format: LogFormat) => {
      context.end(await setFormat(context.env, format));
    });
  log
    .command("retire")
    .description("close a log for good: no node follows it, nothing is published into it")
    .option("--undo", "open it again")
    .option("--force", "even if it is the log that the database names, or the database is unknown")
    .addOption(
      new Option(
        "--lost",
        "the Redis of a former log is gone: only record in the database that its nodes are stale",
      ).conflicts(["undo", "force"]),
    )
    .action(async (options: { undo?: true; force?: true; lost?: true }) => {
      const { markFormerLogsLost, retireLog } = await import("./log-retire.js");
      context.end(
        options.lost === true
          ? await markFormerLogsLost(context.env)
          : await retireLog(context.env, {
              to: options.undo === true ? "in_use" : "retired",
              force: options.force === true,
            }),
      );
    });
}

async function setFormat(env: NodeJS.ProcessEnv, format: LogFormat): Promise<ExitCode> {
  const config = readOperatorConfig(env);
  const fail = (why: string): ExitCode => {
    process.stderr.write(`sekisho log format: nothing was changed: ${why}\n`);
    return EXIT.failed;
  };
  try {
    const outcome = await setLogFormat(redisConnections(config.redis), LOG_KEYS, format);
    switch (outcome.kind) {
      case "no_log":
        return fail("there is no log that can be followed now: `sekisho nodes` says more");
      case "not_read":
        return fail(
          `${outcome.nodes.join(", ")} would not be able to read it, and would answer 503: upgrade ` +
            "them first (a node that has gone is forgotten after 5 minutes)",
        );
      case "set":
        process.stdout.write(
          outcome.before === format
            ? `The log's entries are written in format ${format} already.\n`
            : `The log's entries are written in format ${format} from now on, before in ` +
                `${outcome.before}. ${format === 1 ? BACK_TO_1 : ON_TO_2}\n`,
        );
        return EXIT.done;
    }
  } catch (error) {
    if (!(error instanceof RevocationLogError)) throw error;
    return fail(error.message);
  }
}

const ON_TO_2 = "Nodes of a version that reads only format 1 cannot be used with it any more.";
const BACK_TO_1 =
  "Wait for the log's horizon before nodes of a version that reads only format 1 are started.";

function readFormat(text: string): LogFormat {
  const format = LOG_FORMATS.find((one) => String(one) === text);
  if (format === undefined) throw new InvalidArgumentError("It must be 1 or 2.");
  return format;
}

interface InitOptions {
  readonly nothingWasRevoked?: true;
  readonly replace?: true;
  readonly minReplicas?: number;
}

function readReplicas(text: string): number {
  if (/^([0-9]|1[0-6])$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a whole number from 0 to 16.");
}

async function initLog(env: NodeJS.ProcessEnv, options: InitOptions): Promise<ExitCode> {
  const config = readOperatorConfig(env);
  try {
    const outcome = await openLog(redisConnections(config.redis), LOG_KEYS, {
      generation: randomUUID(),
      authority: "redis",
      horizonS: config.horizonS,
      nothingWasRevoked: options.nothingWasRevoked === true,
      replace: options.replace === true,
      minReplicas: options.minReplicas ?? config.redisMinReplicas,
      changeMinReplicas: options.minReplicas !== undefined,
    });
    return report(outcome, config.horizonS, options);
  } catch (error) {
    if (!(error instanceof RevocationLogError)) throw error;
    process.stderr.write(`sekisho log init: no log was opened: ${error.message}\n`);
    return EXIT.failed;
  }
}

function report(outcome: OpenLogOutcome, horizonS: number, options: InitOptions): ExitCode {
  const covers = options.nothingWasRevoked
    ? "It covers all time: anything revoked before now passes at nodes that start later."
    : "Tokens issued before now are refused as stale until they expire.";
  const durability =
    "Authority is Redis: a revocation is as durable as Redis (use `appendfsync always`).";
  switch (outcome[0]) {
    case "opened":
      process.stdout.write(`Opened a log that remembers ${horizonS} s. ${covers}\n${durability}\n`);
      return EXIT.done;
    case "replaced":
      process.stdout.write(
        `Replaced the log, whose last entry was ${outcome[1].seq}: running nodes remember its ` +
          `revocations, nodes that start later do not.\nThe new log remembers ${horizonS} s. ${covers}\n${durability}\n`,
      );
      return EXIT.done;
    case "raised":
      process.stdout.write(
        `Raised the log's horizon from ${outcome[1].horizonS} to ${horizonS} s. Tokens issued more ` +
          `than ${outcome[1].horizonS} s ago are refused as stale until they expire.\n`,
      );
      return EXIT.done;
    case "retired":
      process.stderr.write(
        "sekisho log init: the log in this Redis was retired at " +
          `${new Date(outcome[1].retiredAtMs).toISOString()}. Nothing was changed.\n` +
          "`sekisho log retire --undo` opens it again as it was. `--replace` deletes it with every " +
          "revocation in it, and opens\nanother one.\n",
      );
      return EXIT.failed;
    case "replicas":
      process.stdout.write(
        `The log now requires ${options.minReplicas ?? 0} replicas, before it required ` +
          `${outcome[1].minReplicas}. Nothing else was changed.\n`,
      );
      return EXIT.done;
    case "exists":
      process.stderr.write(
        `sekisho log init: there is a log already (its last entry is ${outcome[1].seq}, it ` +
          `remembers ${outcome[1].horizonS} s, its authority is ${outcome[1].authority}). Nothing was changed.\n` +
          "`--replace` deletes it with every revocation in it: revoked tokens that have not expired " +
          "pass again at nodes\nthat start later, unless they are refused as stale (so do not add " +
          "`--nothing-was-revoked`).\n",
      );
      return EXIT.failed;
  }
}
