import { randomUUID } from "node:crypto";
import { and, eq, isNull, sql } from "drizzle-orm";
import type { Queries } from "../database/queries-sql.js";
import { revokedKeys } from "../database/schema-sql.js";
import { OPERATORS_TENANT } from "../database/scope.js";
import { insertRevocations } from "./revocation-record-sql.js";

/** A key of an issuer, by its RFC 7638 thumbprint. */
export interface IssuerKey {
  readonly issuer: string;
  readonly thumbprint: string;
}

/** From now on it is revoked, until it is lifted. Under the operators' tenant. */
export async function recordRevokedKey(
  queries: Queries,
  { issuer, thumbprint }: IssuerKey,
  act: { readonly atMs: number; readonly actor: string; readonly reason: string | undefined },
): Promise<void> {
  const { actor, reason = null } = act;
  const set = { actor, reason, revokedAt: new Date(act.atMs), liftedAt: null };
  await queries
    .insert(revokedKeys)
    .values({ issuer, thumbprint, ...set })
    .onConflictDoUpdate({ target: [revokedKeys.issuer, revokedKeys.thumbprint], set });
}

/** `lifted_before`: nothing was changed. undefined: it was never revoked. */
export async function liftRevokedKey(
  queries: Queries,
  { issuer, thumbprint }: IssuerKey,
  atMs: number,
): Promise<"lifted" | "lifted_before" | undefined> {
  const same = and(eq(revokedKeys.issuer, issuer), eq(revokedKeys.thumbprint, thumbprint));
  const lifted = await queries
    .update(revokedKeys)
    .set({ liftedAt: new Date(atMs) })
    .where(and(same, isNull(revokedKeys.liftedAt)))
    .returning({ issuer: revokedKeys.issuer });
  if (lifted.length > 0) return "lifted";
  const found = await queries.select({ issuer: revokedKeys.issuer }).from(revokedKeys).where(same);
  return found.length > 0 ? "lifted_before" : undefined;
}

/** Far more keys than anyone revokes; the rest follow in the next pass. */
const KEYS_AT_ONCE_MAX = 500;

/**
 * Revokes every key again that is not lifted and was last revoked before `sinceMs`. The keys' rows
 * are locked, so none is revoked once it is lifted. Role relay.
 */
export async function revokeKeysAgain(
  queries: Queries,
  { sinceMs, nowMs }: { readonly sinceMs: number; readonly nowMs: number },
): Promise<void> {
  const since = sql`${new Date(sinceMs).toISOString()}::timestamptz`;
  const old = await queries
    .select()
    .from(revokedKeys)
    .where(
      and(
        isNull(revokedKeys.liftedAt),
        // By the primary key: the operators' tenant has few revocations.
        sql`NOT EXISTS (SELECT 1 FROM sekisho.revocations AS last
          WHERE last.tenant_id = ${OPERATORS_TENANT} AND last.kind = 'key_revoked'
            AND last.fields->>'issuer' = ${revokedKeys.issuer}
            AND last.fields->>'thumbprint' = ${revokedKeys.thumbprint} AND last.at >= ${since})`,
      ),
    )
    .limit(KEYS_AT_ONCE_MAX)
    .for("share");
  await insertRevocations(
    queries,
    old.map(({ issuer, thumbprint, reason, actor }) => ({
      eventId: randomUUID(),
      revocation: { kind: "key_revoked", issuer, thumbprint },
      atMs: nowMs,
      reason: reason ?? undefined,
      actor,
    })),
  );
}
