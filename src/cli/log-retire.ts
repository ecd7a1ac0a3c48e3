/** `sekisho log retire`: closes a log that is being left, or opens it again. */
import { readOperatorConfig, type OperatorConfig } from "./operator-config.js";
import { DatabaseError, type Database } from "../sessions/database/database.js";
import { recordRetirement, retireFormerNodes } from "../sessions/outbox/log-nodes-sql.js";
import { redisConnections } from "../revocation-log/connection-redis.js";
import { objectionToReopening, objectionToRetiring } from "../revocation-log/log-retirement.js";
import {
  setRetirement,
  type RetirementOutcome,
  type RetirementRequest,
} from "../revocation-log/log-retirement-redis.js";
import { RedisNodeRows, type NodesAndLog } from "../revocation-log/node-rows-redis.js";
import { LOG_KEYS } from "../revocation-log/partition.js";
import { RevocationLogError, type LogMeta } from "../revocation-log/revocation-log.js";
import { EXIT, type ExitCode } from "../runtime/exit-codes.js";
import { openNamedDatabase, readNamedLog } from "./named-log.js";

/** A stamp younger than this means that a session service is still running. */
const KEPT_LATELY_MS = 5000;

export interface RetireOptions {
  readonly to: RetirementRequest["to"];
  readonly force: boolean;
}

export async function retireLog(env: NodeJS.ProcessEnv, options: RetireOptions): Promise<ExitCode> {
  const config = readOperatorConfig(env);
  const database = await openNamedDatabase(env).catch((error: unknown) => {
    if (error instanceof DatabaseError) return error;
    throw error;
  });
  try {
    const found = await readLog(config.redisUrl);
    const { meta } = found;
    if (typeof meta === "string") return refused(STATES[meta]);
    const named = await readNamedLog(env, database);
    const objectionTo = options.to === "retired" ? objectionToRetiring : objectionToReopening;
    const objection = objectionTo(meta, named);
    if (objection !== undefined && !options.force) return refused(objection, ADVICE[options.to]);
    const outcome = await set(config, meta, options.to);
    if (outcome.kind !== "done") return refused(STATES[outcome.kind]);
    const databaseProblem = await recordInDatabase(database, meta, options.to);
    return report({ config, found, meta, to: options.to, outcome, databaseProblem });
  } catch (error) {
    if (!(error instanceof RevocationLogError)) throw error;
    return refused(error.message);
  } finally {
    if (!(database instanceof DatabaseError)) await database?.close();
  }
}

/** For former logs whose Redis is gone: their nodes have nothing left to read, so all are stale. */
export async function markFormerLogsLost(env: NodeJS.ProcessEnv): Promise<ExitCode> {
  let database: Database | undefined;
  try {
    database = await openNamedDatabase(env);
    if (database === undefined) return refused("set SEKISHO_DATABASE_URL or SEKISHO_DATA_DIR");
    const nodes = await database.transaction({ role: "relay" }, (queries) =>
      retireFormerNodes(queries),
    );
    process.stdout.write(`From now on receipts count ${nodes} nodes of former logs as silent.\n`);
    return EXIT.done;
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    return refused(error.message);
  } finally {
    await database?.close();
  }
}

const STATES = {
  missing: "there is no revocation log in this Redis",
  unreadable: "the log's `meta` is not understood: was it written by another version?",
  restoring:
    "a restore of this log has not finished, so no node follows it. Stop every session service that " +
    "uses this Redis, or wait for the restore to finish",
  replaced: "the log was replaced meanwhile: try again",
} as const;

const ADVICE = {
  retired:
    "To move to another Redis, stop every instance of the session service first, then repeat this with " +
    "--force: from\nthen on the nodes that follow this log answer by their staleness policy.",
  in_use:
    "With --force it is opened anyway: the nodes that follow it then allow what is revoked elsewhere.",
} as const;

function refused(why: string, advice?: string): ExitCode {
  const more = advice === undefined ? "" : `${advice}\n`;
  process.stderr.write(`sekisho log retire: nothing was changed: ${why}.\n${more}`);
  return EXIT.failed;
}

async function readLog(redisUrl: string): Promise<NodesAndLog> {
  const reader = new RedisNodeRows(redisConnections(redisUrl), LOG_KEYS);
  try {
    return await reader.nodeRows();
  } finally {
    reader.close();
  }
}

function set(
  { redisUrl, redisMinReplicas }: OperatorConfig,
  { generation, minReplicas }: LogMeta,
  to: RetirementRequest["to"],
): Promise<RetirementOutcome> {
  return setRetirement(redisConnections(redisUrl), LOG_KEYS, {
    to,
    generation,
    minReplicas: Math.max(redisMinReplicas, minReplicas),
  });
}

/** From then on receipts count this log's nodes as stale. Returns why it failed; undefined: done. */
async function recordInDatabase(
  database: Database | DatabaseError | undefined,
  { authority, generation }: LogMeta,
  to: RetirementRequest["to"],
): Promise<string | undefined> {
  if (authority === "redis") return undefined;
  if (database instanceof DatabaseError) return database.message;
  if (database === undefined) return "neither SEKISHO_DATABASE_URL nor SEKISHO_DATA_DIR is set";
  try {
    await database.transaction({ role: "relay" }, (queries) =>
      recordRetirement(queries, { generation, retired: to === "retired" }),
    );
    return undefined;
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    return error.message;
  }
}

interface Done {
  readonly config: OperatorConfig;
  readonly found: NodesAndLog;
  readonly meta: LogMeta;
  readonly to: RetirementRequest["to"];
  readonly outcome: Extract<RetirementOutcome, { readonly kind: "done" }>;
  readonly databaseProblem: string | undefined;
}

function report({ config, found, meta, to, outcome, databaseProblem }: Done): ExitCode {
  process.stdout.write(outcome.already ? ALREADY[to] : DONE[to]);
  const keptMsAgo = meta.keptAtMs === undefined ? Infinity : found.serverMs - meta.keptAtMs;
  if (to === "retired" && keptMsAgo < KEPT_LATELY_MS) {
    process.stderr.write(
      `A session service stamped this log ${keptMsAgo} ms ago. If it still runs, stop it: what it revokes ` +
        "does not take effect.\n",
    );
  }
  if (databaseProblem !== undefined) {
    process.stderr.write(
      `This was not recorded in the database (${databaseProblem}), so for a day receipts may name nodes of ` +
        "this log as not confirmed.\n",
    );
  }
  const wanted = Math.max(config.redisMinReplicas, meta.minReplicas);
  if (outcome.replicas >= wanted) return EXIT.done;
  process.stderr.write(
    `Only ${outcome.replicas} of ${wanted} replicas have it (SEKISHO_REDIS_MIN_REPLICAS): a failover could ` +
      "undo it, so repeat the command.\n",
  );
  return EXIT.failed;
}

const DONE = {
  retired:
    "Retired the log. Nodes that follow it answer by their staleness policy (deny: 503), nothing is " +
    "published into it, and no\nsession service keeps or restores it, until `sekisho log retire --undo` " +
    "or `sekisho log init --replace`.\n",
  in_use: "Opened the log again: nodes follow it, and revocations are published into it.\n",
} as const;

const ALREADY = {
  retired: "The log was already retired.\n",
  in_use: "The log is not retired.\n",
} as const;
