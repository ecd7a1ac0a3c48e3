import { sql } from "drizzle-orm";
import { DatabaseError } from "../database/database.js";
import { revocations, TIMELINE } from "../database/schema-sql.js";
import type { Queries } from "../database/queries-sql.js";
import { partitionOf } from "../../revocation-log/partition.js";
import type { CommittedRevocation } from "./outbox.js";

/** A statement can have 65,535 parameters; a row has thirteen. */
const ROWS_PER_STATEMENT_MAX = 1000;

/**
 * Adds what an act decides to the outbox, within the act's transaction. Returns it with the
 * generation of the log that it is to be published in.
 *
 * Rejects with `failed_over` while the database may have forgotten what is in the log: the epoch
 * that was decided could be one that tokens carry already.
 */
export async function recordRevocations(
  queries: Queries,
  decided: readonly CommittedRevocation[],
): Promise<readonly CommittedRevocation[]> {
  const inserted = await insertRevocations(queries, decided);
  if (inserted.some(({ isSearched }) => !isSearched)) {
    throw new DatabaseError(
      "failed_over",
      "database: it is on another timeline than before (a failover), and nothing is revoked until " +
        "the relay has imported from the log what the database may have forgotten",
    );
  }
  return inserted.map(({ committed }) => committed);
}

/** Adds them whatever the database may have forgotten. */
export async function insertRevocations(
  queries: Queries,
  decided: readonly CommittedRevocation[],
): Promise<readonly InsertedRevocation[]> {
  const inserted: InsertedRevocation[] = [];
  for (let from = 0; from < decided.length; from += ROWS_PER_STATEMENT_MAX) {
    const some = decided.slice(from, from + ROWS_PER_STATEMENT_MAX);
    const rows = await queries
      .insert(revocations)
      .values(some.map((one) => revocationRow(one, "service")))
      .returning({ generation: MEANT_GENERATION, isSearched: IS_SEARCHED });
    inserted.push(
      ...some.map((one, i) => ({
        committed: { ...one, generation: rows[i]?.generation ?? undefined },
        isSearched: rows[i]?.isSearched ?? true,
      })),
    );
  }
  return inserted;
}

interface InsertedRevocation {
  readonly committed: CommittedRevocation;
  /** The log was searched on the database's timeline, or there is none yet. */
  readonly isSearched: boolean;
}

/** `partition` is the inserted row's. */
const MEANT_GENERATION = sql<string | null>`(
  SELECT generation FROM sekisho.log_records
  WHERE log_records.partition = revocations.partition)`;

const IS_SEARCHED = sql<boolean | null>`(
  SELECT searched_timeline = ${TIMELINE} FROM sekisho.log_records
  WHERE log_records.partition = revocations.partition)`;

/** Not published yet, or not for long enough. `origin`: `log` for one that was found in the log. */
export function revocationRow(
  { eventId, revocation, atMs, reason, actor }: CommittedRevocation,
  origin: "service" | "log",
): typeof revocations.$inferInsert {
  return {
    tenantId: revocation.tenant,
    eventId,
    partition: partitionOf(revocation.tenant),
    kind: revocation.kind,
    userId: revocation.user ?? null,
    sessionId: revocation.kind === "session_revoked" ? revocation.session : null,
    epoch: revocation.kind === "user_revoked" ? (revocation.epoch ?? null) : null,
    issuedBefore: revocation.kind === "user_revoked" ? (revocation.issuedBefore ?? null) : null,
    at: new Date(atMs),
    reason: reason ?? null,
    actor: actor ?? null,
    origin,
    publishedAt: null,
    publishedGeneration: null,
    publishedSeq: null,
  };
}
