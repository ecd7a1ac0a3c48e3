/**
 * Which log the database names, for commands that must be sure: from the database itself where its
 * settings are given, from the session service otherwise.
 */
import { existsSync } from "node:fs";
import { z } from "zod";
import { readOperatorPath } from "./operator-config.js";
import { faultsOfNames } from "./variables.js";
import { readMaintenanceConfig } from "../sessions/sessions-config.js";
import { DatabaseError, type Database } from "../sessions/database/database.js";
import { readLogRecord } from "../sessions/outbox/log-record-sql.js";
import { nodesAnswerSchema } from "../revocation-log/api-answers.js";
import type { NamedLog } from "../revocation-log/log-retirement.js";
import { openDatabase } from "../sessions/open-database.js";
import { askService } from "./sessions-request.js";

/** undefined: no database is named in the settings. Throws a ConfigError or a DatabaseError. */
export async function openNamedDatabase(env: NodeJS.ProcessEnv): Promise<Database | undefined> {
  if (isUnset(env["SEKISHO_DATABASE_URL"]) && isUnset(env["SEKISHO_DATA_DIR"])) return undefined;
  const { database: location } = readMaintenanceConfig(env, faultsOfNames(env));
  // Opening would create one.
  if (location.kind === "folder" && !existsSync(location.path)) {
    throw new DatabaseError(
      "data_folder",
      `there is no folder ${location.path} (SEKISHO_DATA_DIR)`,
    );
  }
  return openDatabase(location);
}

/** `database`: an Error where it could not be opened. Rejects with a ConfigError only. */
export async function readNamedLog(
  env: NodeJS.ProcessEnv,
  database: Database | DatabaseError | undefined,
): Promise<NamedLog> {
  if (database instanceof DatabaseError) return unknown(database.message);
  if (database !== undefined) return askDatabase(database);
  if (isUnset(env["SEKISHO_SESSIONS_URL"]) && isUnset(env["SEKISHO_SESSIONS_TOKEN"])) {
    return { kind: "unknown", why: NOBODY_TO_ASK };
  }
  const path = readOperatorPath(env, false);
  if (path.kind !== "service") return { kind: "unknown", why: NOBODY_TO_ASK };
  const answer = await askService(path.service, { method: "GET", path: "/v1/admin/nodes" });
  if (!answer.ok) return unknown(answer.message.split("\n")[0] ?? "");
  const parsed = answerSchema.safeParse(answer.body);
  if (!parsed.success) return unknown("its answer is not understood: is it another version?");
  return { kind: "named", generation: parsed.data.log.recorded_generation };
}

const answerSchema = z.object({
  log: nodesAnswerSchema.shape.log.pick({ recorded_generation: true }).required(),
});

const NOBODY_TO_ASK =
  "which log the database names is unknown: set SEKISHO_DATABASE_URL or SEKISHO_DATA_DIR, or " +
  "SEKISHO_SESSIONS_URL and SEKISHO_SESSIONS_TOKEN";

async function askDatabase(database: Database): Promise<NamedLog> {
  try {
    const record = await database.transaction({ role: "relay" }, (queries) =>
      readLogRecord(queries),
    );
    return { kind: "named", generation: record?.generation };
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    return unknown(error.message);
  }
}

function unknown(message: string): NamedLog {
  return { kind: "unknown", why: `which log the database names is unknown: ${message}` };
}

function isUnset(value: string | undefined): boolean {
  return value === undefined || value === "";
}
