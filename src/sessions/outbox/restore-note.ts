/**
 * Records a finished restore in the log record and in the audit trail: by the relay that did it or,
 * if that was stopped before, by the next one.
 */
import { recordAudit } from "../audit/audit-trail-sql.js";
import type { Clock } from "../../runtime/clock.js";
import type { Database } from "../database/database.js";
import { PARTITION } from "../../revocation-log/partition.js";
import { recordRestored } from "./log-record-sql.js";
import type { RestoreCause } from "./relay-decision.js";

export interface NoteDependencies {
  readonly database: Database;
  readonly clock: Clock;
}

export interface RestoreNote {
  readonly generation: string;
  /** `interrupted`: the relay that knew the cause was stopped. */
  readonly cause: RestoreCause | "interrupted";
  /** How many revocations were published again. */
  readonly entries?: number;
  readonly imported?: number;
  readonly unreadable?: number;
  readonly coversFromMs: number;
}

/** `requestedAtMs`: the restore request that this restore has fulfilled. */
export async function noteRestored(
  { database, clock }: NoteDependencies,
  note: RestoreNote,
  requestedAtMs: number | undefined,
): Promise<void> {
  const { generation, cause, coversFromMs, entries, imported, unreadable } = note;
  const atMs = clock.wallMs();
  const counts = Object.entries({ entries, imported, unreadable }).flatMap(([name, count]) =>
    count === undefined ? [] : [[name, count] as const],
  );
  await database.transaction({ role: "relay" }, async (queries) => {
    if (!(await recordRestored(queries, { generation, atMs, requestedAtMs }))) return;
    await recordAudit(queries, {
      tenant: "sekisho",
      atMs,
      kind: "log_restored",
      outcome: "done",
      reason: cause,
      actor: "sekisho",
      detail: {
        partition: PARTITION,
        generation,
        covers_from_ms: coversFromMs,
        ...Object.fromEntries(counts),
      },
    });
  });
}
