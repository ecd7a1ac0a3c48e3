/**
 * Searches the log for revocations that the database does not know: published past the session
 * service (break-glass), in a log that was used without a database, or by a database that was lost.
 *
 * An unreadable entry may be a revocation. A restore cannot publish it again, so the next restore
 * has to declare the gap: tokens from before it are then answered as stale.
 */
import { recordAudit } from "../audit/audit-trail-sql.js";
import type { AuditEntry } from "../audit/audit-trail.js";
import type { Clock } from "../../runtime/clock.js";
import type { Database } from "../database/database.js";
import type { Queries } from "../database/queries-sql.js";
import { READ_BACK_MAX_ENTRIES, type LogAdmin } from "../../revocation-log/log-admin.js";
import type { RecordedEntry } from "../../revocation-log/recorded-entry.js";
import { PARTITION } from "../../revocation-log/partition.js";
import { endsSessionsByCutOff, lockCutOffs } from "./cut-offs-sql.js";
import { importRevocations } from "./import-sql.js";
import { importedRevocation } from "./imported-entry.js";
import { recordCoverageGap, recordSearched } from "./log-record-sql.js";
import { coversOnlyFromMs } from "./relay-decision.js";

export interface ImportDependencies {
  readonly database: Database;
  readonly clock: Clock;
  readonly logAdmin: LogAdmin;
}

export interface ImportSearch {
  /** Starts after this entry; undefined: with the first. */
  readonly after: string | undefined;
  /**
   * The entry up to which the log is recorded as searched; it is read again and skipped. It is
   * never trimmed: if it is not the first entry read, the log has lost entries, and is not
   * searched.
   */
  readonly recorded: string | undefined;
  /** The log's seq at that entry, in case the entry itself has none. */
  readonly recordedSeq: number;
  /** Entries up to this seq are known to be in the database and are not looked up. */
  readonly knownUpToSeq: number;
  /** The generation to record the search for; undefined: not recorded, the log will be replaced. */
  readonly generation: string | undefined;
  /** Throws if the search has to stop. */
  readonly check: () => void;
}

export interface SearchResult {
  readonly imported: number;
  readonly unreadable: number;
  /** The last entry's ID and seq; undefined: the log is empty, or lacks the recorded entry. */
  readonly last: { readonly id: string; readonly seq: number } | undefined;
}

/** One transaction per page, with the position reached; none if there is nothing new. */
export async function searchLog(
  dependencies: ImportDependencies,
  search: ImportSearch,
): Promise<SearchResult> {
  let result: SearchResult = { imported: 0, unreadable: 0, last: undefined };
  for (;;) {
    search.check();
    const after = result.last?.id ?? search.after;
    const page = await dependencies.logAdmin.entriesAfter(after, READ_BACK_MAX_ENTRIES);
    const last = page.at(-1);
    const isFirst = result.last === undefined;
    if (isFirst && search.recorded !== undefined && page[0]?.id !== search.recorded) return result;
    if (last !== undefined) {
      const found = await importPage(dependencies, search, page, last.id);
      result = {
        imported: result.imported + found.imported,
        unreadable: result.unreadable + found.unreadable,
        last: { id: last.id, seq: highestSeq(page, search, result.last?.seq ?? 0) },
      };
    }
    if (page.length < READ_BACK_MAX_ENTRIES) return result;
  }
}

interface PageResult {
  readonly imported: number;
  readonly unreadable: number;
}

async function importPage(
  { database, clock }: ImportDependencies,
  { recorded, knownUpToSeq, generation }: ImportSearch,
  page: readonly RecordedEntry[],
  lastId: string,
): Promise<PageResult> {
  const unknown = page.filter(
    ({ id, seq }) => id !== recorded && (seq === undefined || seq > knownUpToSeq),
  );
  const toRecord = generation === undefined || lastId === recorded ? undefined : generation;
  if (unknown.length === 0 && toRecord === undefined) return { imported: 0, unreadable: 0 };
  return database.transaction({ role: "relay" }, async (queries) => {
    const hasCutOff = unknown.some(
      (one) => one.kind === "revocation" && endsSessionsByCutOff(one.revocation),
    );
    if (hasCutOff) await lockCutOffs(queries);
    // After the lock: no refresh that does not see the cut-off is dated after it.
    const found = await importUnknown(queries, unknown, clock.wallMs());
    if (toRecord !== undefined) {
      await recordSearched(queries, { generation: toRecord, entryId: lastId });
    }
    return found;
  });
}

async function importUnknown(
  queries: Queries,
  entries: readonly RecordedEntry[],
  nowMs: number,
): Promise<PageResult> {
  const imported = await importRevocations(
    queries,
    entries.flatMap((one) => (one.kind === "revocation" ? importedRevocation(one, nowMs) : [])),
    nowMs,
  );
  const unreadable = entries.filter(({ kind }) => kind === "unreadable");
  if (unreadable.length > 0) {
    await recordCoverageGap(queries, coversOnlyFromMs(nowMs));
    const rows = unreadable.map(({ id }) => unreadableEntry(id, nowMs));
    await recordAudit(queries, ...rows);
  }
  return { imported: imported.length, unreadable: unreadable.length };
}

function unreadableEntry(entry: string, nowMs: number): AuditEntry {
  return {
    tenant: "sekisho",
    atMs: nowMs,
    kind: "revocation_imported",
    outcome: "failed",
    reason: "unreadable_entry",
    actor: "sekisho",
    detail: { entry, partition: PARTITION },
  };
}

/** An unreadable entry may have no seq; that does not make the log shorter. */
function highestSeq(
  page: readonly RecordedEntry[],
  { recorded, recordedSeq }: ImportSearch,
  before: number,
): number {
  return page.reduce(
    (highest, { id, seq }) => Math.max(highest, seq ?? (id === recorded ? recordedSeq : 0)),
    before,
  );
}
