import { sql } from "drizzle-orm";
import { DatabaseError } from "../database/database.js";
import { revocations, TIMELINE } from "../database/schema-sql.js";
import { OPERATORS_TENANT } from "../database/scope.js";
import type { Queries } from "../database/queries-sql.js";
import { revocationFields } from "../../revocation-log/entry-fields.js";
import { cutOffOf, tenantOf, userOf, type Revocation } from "../../revocation-log/entry.js";
import { PARTITION } from "../../revocation-log/partition.js";
import type { DecidedRevocation } from "../../revocation-log/publisher.js";

/** A statement can have 65,535 parameters; a row has thirteen. */
const ROWS_PER_STATEMENT_MAX = 1000;

/**
 * Adds an act's revocations to the outbox, within the act's transaction. Returns them with the
 * generation of the log that they are to be published in.
 *
 * Rejects with `failed_over` while the database may have lost revocations that are in the log:
 * tokens with the new epoch may already exist.
 */
export async function recordRevocations(
  queries: Queries,
  decided: readonly DecidedRevocation[],
): Promise<readonly DecidedRevocation[]> {
  const inserted = await insertRevocations(queries, decided);
  if (inserted.some(({ isSearched }) => !isSearched)) {
    throw new DatabaseError(
      "failed_over",
      "database: its timeline has changed (a failover), so nothing can be revoked until the relay " +
        "has imported from the log what the database may have lost",
    );
  }
  return inserted.map(({ committed }) => committed);
}

/** The same without that check. */
export async function insertRevocations(
  queries: Queries,
  decided: readonly DecidedRevocation[],
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
  readonly committed: DecidedRevocation;
  /** The log was searched on the database's current timeline, or there is no log yet. */
  readonly isSearched: boolean;
}

/** `partition` is the inserted row's. */
const MEANT_GENERATION = sql<string | null>`(
  SELECT generation FROM sekisho.log_records
  WHERE log_records.partition = revocations.partition)`;

const IS_SEARCHED = sql<boolean | null>`(
  SELECT searched_timeline = ${TIMELINE} FROM sekisho.log_records
  WHERE log_records.partition = revocations.partition)`;

/** The tenant whose row it is: the operators' where it concerns no single tenant. */
export function recordTenantOf(revocation: Revocation): string {
  return tenantOf(revocation) ?? OPERATORS_TENANT;
}

/** Sessions and users are read and changed by SQL, so what names them has columns. */
function hasColumns({ kind }: Revocation): boolean {
  return kind === "session_revoked" || kind === "user_revoked";
}

/** Still to be published. `origin`: `log` for an imported one. */
export function revocationRow(
  { eventId, revocation, atMs, reason, actor }: DecidedRevocation,
  origin: "service" | "log",
): typeof revocations.$inferInsert {
  return {
    tenantId: recordTenantOf(revocation),
    eventId,
    partition: PARTITION,
    kind: revocation.kind,
    userId: userOf(revocation) ?? null,
    sessionId: revocation.kind === "session_revoked" ? revocation.session : null,
    epoch: revocation.kind === "user_revoked" ? (revocation.epoch ?? null) : null,
    issuedBefore: cutOffOf(revocation) ?? null,
    fields: hasColumns(revocation) ? null : revocationFields(revocation),
    at: new Date(atMs),
    reason: reason ?? null,
    actor: actor ?? null,
    origin,
    publishedAt: null,
    publishedGeneration: null,
    publishedSeq: null,
  };
}
