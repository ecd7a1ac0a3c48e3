import { revocations } from "../database/schema-sql.js";
import type { Queries } from "../database/queries-sql.js";
import { partitionOf } from "../revocation/partition.js";
import type { CommittedRevocation } from "./outbox.js";

/**
 * Adds revocations to the outbox, within the transaction that decides them. `origin`: `log` for one
 * that was found in the log and is published already.
 */
export async function recordRevocations(
  queries: Queries,
  decided: readonly CommittedRevocation[],
  origin: "service" | "log" = "service",
): Promise<void> {
  if (decided.length === 0) return;
  await queries.insert(revocations).values(
    decided.map(({ eventId, revocation, atMs, reason, actor }) => ({
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
      publishedAt: origin === "log" ? new Date(atMs) : null,
    })),
  );
}
