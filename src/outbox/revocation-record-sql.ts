import { revocations } from "../database/schema-sql.js";
import type { Queries } from "../database/queries-sql.js";
import { partitionOf } from "../revocation/partition.js";
import type { CommittedRevocation } from "./outbox.js";

/** A statement can have 65,535 parameters; a row has thirteen. */
const ROWS_PER_STATEMENT_MAX = 1000;

/** Adds revocations to the outbox, within the transaction that decides them. */
export async function recordRevocations(
  queries: Queries,
  decided: readonly CommittedRevocation[],
): Promise<void> {
  for (let from = 0; from < decided.length; from += ROWS_PER_STATEMENT_MAX) {
    const some = decided.slice(from, from + ROWS_PER_STATEMENT_MAX);
    await queries.insert(revocations).values(some.map((one) => revocationRow(one, "service")));
  }
}

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
  };
}
