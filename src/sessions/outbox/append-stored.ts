/** Writes the database's revocations into the log that a restore makes, page by page. */
import type { Database } from "../database/database.js";
import { whyUnreadable } from "../../revocation-log/entry-fields.js";
import { APPEND_MAX_ENTRIES, type LogAdmin } from "../../revocation-log/log-admin.js";
import type { DecidedRevocation } from "../../revocation-log/publisher.js";
import type { LogRequirements } from "./relay-decision.js";
import { done, RestoreError } from "./restore-error.js";
import { decidedAfter, type StoredRevocation } from "./stored-revocations-sql.js";

/** Rows per read. */
const PAGE_MAX_ROWS = 2500;

export interface AppendDependencies {
  readonly database: Database;
  readonly logAdmin: LogAdmin;
  readonly requirements: LogRequirements;
}

export interface Appended {
  readonly entries: number;
  /** The log's last seq afterwards. */
  readonly seq: number;
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
  /** The log's last seq before the first entry is appended. */
  readonly seq: number;
}

/** Rejects with a RestoreError, a RevocationLogError, a DatabaseError or what `check` throws. */
export async function appendAll(
  dependencies: AppendDependencies,
  plan: AppendPlan,
  check: () => void,
): Promise<Appended> {
  const pending: AppendedRow[] = [];
  const unreadable: DecidedRevocation[] = [];
  let { seq } = plan;
  let page = await readPage(dependencies, plan.sinceMs, undefined);
  while (page.length > 0) {
    const last = page.at(-1);
    const first = seq + 1;
    const [readable, left] = separated(page);
    unreadable.push(...left);
    // Reads the next page while this one is written.
    const next =
      page.length < PAGE_MAX_ROWS
        ? Promise.resolve([])
        : readPage(dependencies, plan.sinceMs, last);
    const [read, appended] = await bothSettled(
      next,
      appendPage(dependencies, { ...plan, seq }, readable, check),
    );
    readable.forEach((committed, i) => {
      if (committed.pending) pending.push({ committed, seq: first + i });
    });
    seq = appended;
    page = read;
  }
  return { entries: seq - plan.seq, seq, pending, unreadable };
}

function separated(
  page: readonly StoredRevocation[],
): readonly [readable: readonly StoredRevocation[], left: readonly StoredRevocation[]] {
  const isReadable = (one: StoredRevocation): boolean =>
    whyUnreadable({ ...one, origin: undefined }, one.atMs) === undefined;
  if (page.every(isReadable)) return [page, []];
  return [page.filter(isReadable), page.filter((one) => !isReadable(one))];
}

/** Returns the seq of the last entry. */
async function appendPage(
  { logAdmin, requirements }: AppendDependencies,
  { marker, seq: before }: AppendPlan,
  page: readonly StoredRevocation[],
  check: () => void,
): Promise<number> {
  let seq = before;
  for (let from = 0; from < page.length; from += APPEND_MAX_ENTRIES) {
    check();
    const some = page.slice(from, from + APPEND_MAX_ENTRIES);
    const entries = some.map((one) => ({ ...one, origin: undefined }));
    const reached = done("append", await logAdmin.append(marker, requirements.horizonS, entries));
    seq += some.length;
    if (reached !== seq) throw new RestoreError("append", "entries_lost");
  }
  return seq;
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
