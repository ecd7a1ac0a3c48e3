/**
 * Writes the database's revocations into the log that a restore makes, page by page: first what the
 * replaced log held up to its recorded seq, then everything else. A node that had applied the replaced log
 * up to there lacks only what is behind the tail, the last entry of the first part.
 *
 * Where a row belongs is decided once, when it is read, and never by what others mark meanwhile. A row
 * that is published in an earlier generation was committed before the restore that made the next one
 * began, so that restore carried it over, before anything else was published there.
 */
import type { Database } from "../database/database.js";
import { whyUnreadable } from "../../revocation-log/entry-fields.js";
import { APPEND_MAX_ENTRIES, type LogAdmin } from "../../revocation-log/log-admin.js";
import type { DecidedRevocation } from "../../revocation-log/publisher.js";
import type { LogRequirements } from "./relay-decision.js";
import type { ReplacedLog } from "./log-record-sql.js";
import { done, RestoreError } from "./restore-error.js";
import { decidedAfter, type StoredRevocation } from "./stored-revocations-sql.js";

/** Rows per read. */
const PAGE_MAX_ROWS = 2500;

export interface AppendDependencies {
  readonly database: Database;
  readonly logAdmin: LogAdmin;
  readonly requirements: LogRequirements;
}

/** An entry of the log that is made. */
interface Position {
  readonly seq: number;
  readonly id: string;
}

export interface Appended {
  readonly entries: number;
  /** The log's last seq afterwards. */
  readonly seq: number;
  /** The last entry that the replaced log held as well. */
  readonly tail: Position;
  readonly pending: readonly AppendedRow[];
  /** Revocations that no node could read: left out, so the log covers only what came after. */
  readonly unreadable: readonly DecidedRevocation[];
}

export interface AppendedRow {
  readonly committed: DecidedRevocation;
  readonly seq: number;
}

export interface AppendPlan {
  readonly marker: string;
  /** Earlier decisions are left out. */
  readonly sinceMs: number;
  /** The log's last entry before the first one is appended. */
  readonly opening: Position;
  /** undefined: no node can go on from it, and the order does not matter. */
  readonly replaced: ReplacedLog | undefined;
}

/** Rejects with a RestoreError, a RevocationLogError, a DatabaseError or what `check` throws. */
export async function appendAll(
  dependencies: AppendDependencies,
  plan: AppendPlan,
  check: () => void,
): Promise<Appended> {
  const behind: StoredRevocation[] = [];
  const pending: AppendedRow[] = [];
  const unreadable: DecidedRevocation[] = [];
  let tail = plan.opening;
  let page = await readPage(dependencies, plan.sinceMs, undefined);
  while (page.length > 0) {
    const last = page.at(-1);
    const before: StoredRevocation[] = [];
    for (const one of page) {
      if (whyUnreadable({ ...one, origin: undefined }, one.atMs) !== undefined)
        unreadable.push(one);
      else (isBeforeTail(one, plan.replaced) ? before : behind).push(one);
    }
    pending.push(...pendingIn(before, tail));
    // Reads the next page while this one is written.
    const next =
      page.length < PAGE_MAX_ROWS
        ? Promise.resolve([])
        : readPage(dependencies, plan.sinceMs, last);
    const appending = appendRows(dependencies, plan.marker, tail, before, check);
    [page, tail] = await bothSettled(next, appending);
  }
  pending.push(...pendingIn(behind, tail));
  const { seq } = await appendRows(dependencies, plan.marker, tail, behind, check);
  return { entries: seq - plan.opening.seq, seq, tail, pending, unreadable };
}

/**
 * Whether every node that has applied the replaced log up to its recorded seq has applied this. Without a
 * replaced log there is no tail that matters.
 */
function isBeforeTail({ published }: StoredRevocation, replaced: ReplacedLog | undefined): boolean {
  if (replaced === undefined) return true;
  if (published === undefined) return false;
  return published.generation !== replaced.generation || published.seq <= replaced.seq;
}

/** The pending ones of rows that are appended after an entry. */
function pendingIn(rows: readonly StoredRevocation[], after: Position): readonly AppendedRow[] {
  return rows.flatMap((committed, at) =>
    committed.published === undefined ? [{ committed, seq: after.seq + 1 + at }] : [],
  );
}

/** Returns the last entry of the log. */
async function appendRows(
  { logAdmin, requirements }: AppendDependencies,
  marker: string,
  after: Position,
  rows: readonly StoredRevocation[],
  check: () => void,
): Promise<Position> {
  let reached = after;
  for (let from = 0; from < rows.length; from += APPEND_MAX_ENTRIES) {
    check();
    const some = rows.slice(from, from + APPEND_MAX_ENTRIES);
    const entries = some.map((one) => ({ ...one, origin: undefined }));
    const { seq, id } = done(
      "append",
      await logAdmin.append(marker, requirements.horizonS, entries),
    );
    if (seq !== reached.seq + some.length) throw new RestoreError("append", "entries_lost");
    reached = { seq, id };
  }
  return reached;
}

/** When it rejects, neither is still running. */
async function bothSettled<A, B>(a: Promise<A>, b: Promise<B>): Promise<readonly [A, B]> {
  await Promise.allSettled([a, b]);
  return [await a, await b];
}

function readPage(
  { database }: AppendDependencies,
  sinceMs: number,
  after: DecidedRevocation | undefined,
): Promise<readonly StoredRevocation[]> {
  return database.transaction({ role: "relay" }, (queries) =>
    decidedAfter(queries, sinceMs, after, PAGE_MAX_ROWS),
  );
}
