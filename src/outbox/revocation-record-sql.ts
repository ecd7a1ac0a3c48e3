import { sql } from "drizzle-orm";
import { revocations } from "../database/schema-sql.js";
import type { Queries } from "../database/queries-sql.js";
import { partitionOf } from "../revocation/partition.js";
import type { CommittedRevocation } from "./outbox.js";

/** A statement can have 65,535 parameters; a row has thirteen. */
const ROWS_PER_STATEMENT_MAX = 1000;

/**
 * Adds revocations to the outbox, within the transaction that decides them. Returns them with the
 * generation of the log that they are to be published in.
 */
export async function recordRevocations(
  queries: Queries,
  decided: readonly CommittedRevocation[],
): Promise<readonly CommittedRevocation[]> {
  const recorded: CommittedRevocation[] = [];
  for (let from = 0; from < decided.length; from += ROWS_PER_STATEMENT_MAX) {
    const some = decided.slice(from, from + ROWS_PER_STATEMENT_MAX);
    const rows = await queries
      .insert(revocations)
      .values(some.map((one) => revocationRow(one, "service")))
      .returning({ generation: MEANT_GENERATION });
    recorded.push(
      ...some.map((one, i) => ({ ...one, generation: rows[i]?.generation ?? undefined })),
    );
  }
  return recorded;
}

/** `partition` is the inserted row's. */
const MEANT_GENERATION = sql<string | null>`(
  SELECT generation FROM sekisho.log_records
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
