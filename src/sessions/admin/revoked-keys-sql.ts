import { and, eq, isNull } from "drizzle-orm";
import type { Queries } from "../database/queries-sql.js";
import { revokedKeys } from "../database/schema-sql.js";

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
