/**
 * Revokes tokens by what they have in common other than a user or a session: one token by its own
 * names, an OAuth client's, a tenant's, a key's, all of them.
 *
 * A cut-off revokes what was issued before the next whole second, this very second included. So the
 * act is answered after that second (`outbox/log-outbox.ts`), and a login after the answer gets a
 * valid token. The cut-off of a tenant, or of all, ends the sessions that began before it as well
 * (`outbox/cut-offs-sql.ts`); the caller's own may be among them.
 *
 * What concerns no single tenant is recorded in the operators'.
 */
import { cutOffOf, type Revocation } from "../../revocation-log/entry.js";
import { revocationFields } from "../../revocation-log/entry-fields.js";
import type { UnverifiedToken } from "../../tokens/unverified-token.js";
import { recordAudit } from "../audit/audit-trail-sql.js";
import { takeScope, type Queries } from "../database/queries-sql.js";
import { OPERATORS_TENANT, type Scope } from "../database/scope.js";
import type { CallerEnded } from "../login/caller.js";
import { latestUseMs, raiseCutOff } from "../outbox/cut-offs-sql.js";
import { revokeTokens } from "../login/ending-sql.js";
import { actOf, type ActorContext, type AdminDependencies } from "./admin-act.js";
import { withCallerLock } from "./caller-lock.js";
import { liftRevokedKey, recordRevokedKey, type IssuerKey } from "../outbox/revoked-keys-sql.js";
import { tenantExists } from "./tenants-sql.js";
import type { RevokeOutcome } from "./user-acts.js";

export interface TokenRevocationDependencies extends AdminDependencies {
  /** By how much the clocks of any two instances may differ. */
  readonly clockSkewMs: number;
}

/**
 * Refuses one token. `token` must not name another tenant. undefined: no such tenant.
 *
 * A tenant is part of what nodes look a token up by, so whatever the token claims, the revocation
 * reaches tokens of that tenant only.
 */
export async function revokeToken(
  dependencies: TokenRevocationDependencies,
  by: ActorContext,
  { tenant, token }: { readonly tenant: string; readonly token: UnverifiedToken },
): Promise<RevokeOutcome | undefined> {
  const { issuer, jti, signedDigest } = token;
  return revoke(dependencies, by, {
    tenant,
    revocation: () => ({ kind: "token_revoked", tenant, issuer, jti, signedDigest }),
  });
}

/** Refuses every token that the client has. `tenant` undefined: in all tenants. */
export async function revokeClient(
  dependencies: TokenRevocationDependencies,
  by: ActorContext,
  { tenant, client }: { readonly tenant: string | undefined; readonly client: string },
): Promise<RevokeOutcome | undefined> {
  return revoke(dependencies, by, {
    tenant,
    revocation: (issuedBefore) => ({ kind: "client_revoked", tenant, client, issuedBefore }),
  });
}

/** Refuses every token of the tenant and ends its sessions. undefined: no such tenant. */
export async function revokeTenant(
  dependencies: TokenRevocationDependencies,
  by: ActorContext,
  tenant: string,
): Promise<RevokeOutcome | undefined> {
  return revoke(dependencies, by, {
    tenant,
    revocation: (issuedBefore) => ({ kind: "tenant_revoked", tenant, issuedBefore }),
    cutsOff: true,
  });
}

/** For operators. Refuses every token of every tenant and ends all sessions. */
export async function revokeEverything(
  dependencies: TokenRevocationDependencies,
  by: ActorContext,
): Promise<RevokeOutcome | undefined> {
  return revoke(dependencies, by, {
    tenant: undefined,
    revocation: (issuedBefore) => ({ kind: "all_revoked", issuedBefore }),
    cutsOff: true,
  });
}

/** For operators. Refuses whatever the key has signed or will sign, until it is lifted. */
export async function revokeKey(
  dependencies: TokenRevocationDependencies,
  by: ActorContext,
  key: IssuerKey,
): Promise<RevokeOutcome | undefined> {
  return revoke(dependencies, by, {
    tenant: undefined,
    revocation: () => ({ kind: "key_revoked", ...key }),
    alsoDo: (queries, atMs) => recordRevokedKey(queries, key, { ...actOf(by), atMs }),
  });
}

/**
 * For operators. The revocation of the key is not published again; nodes forget it when the log does.
 * False: the key was never revoked.
 */
export async function liftKeyRevocation(
  dependencies: TokenRevocationDependencies,
  by: ActorContext,
  key: IssuerKey,
): Promise<boolean | CallerEnded> {
  const scope = scopeOf(undefined);
  return withCallerLock(dependencies, by.caller, { scope }, async (queries) => {
    const atMs = dependencies.clock.wallMs();
    const lifted = await liftRevokedKey(queries, key, atMs);
    if (lifted !== "lifted") return lifted !== undefined;
    const { tenant } = scope;
    const { issuer, thumbprint } = key;
    const what = { kind: "key_revocation_lifted", detail: { issuer, thumbprint } } as const;
    await recordAudit(queries, { tenant, atMs, outcome: "done", ...what, ...actOf(by) });
    return true;
  });
}

interface TokenRevocation {
  /** undefined: it concerns no single tenant. */
  readonly tenant: string | undefined;
  /** `issuedBefore`: Unix seconds. */
  readonly revocation: (issuedBefore: number) => Revocation;
  /** It ends the sessions that began before its cut-off. */
  readonly cutsOff?: boolean;
  readonly alsoDo?: (queries: Queries, atMs: number) => Promise<void>;
}

async function revoke(
  dependencies: TokenRevocationDependencies,
  by: ActorContext,
  { tenant, revocation: revocationAt, cutsOff = false, alsoDo }: TokenRevocation,
): Promise<RevokeOutcome | undefined> {
  const scope = scopeOf(tenant);
  const place = { scope, raisesCutOff: cutsOff };
  return withCallerLock(dependencies, by.caller, place, async (queries) => {
    if (!(await tenantExists(queries, scope.tenant))) return undefined;
    const act = actOf(by);
    const latestMs = cutsOff ? await latestUseMs(queries, tenant) : 0;
    if (cutsOff) await takeScope(queries, scope);
    const committed = await revokeTokens(queries, { revocationAt, latestMs }, act, dependencies);
    const { revocation, eventId, atMs } = committed;
    const issuedBefore = cutOffOf(revocation);
    if (cutsOff && issuedBefore !== undefined) await raiseCutOff(queries, tenant, issuedBefore);
    await alsoDo?.(queries, atMs);
    const what = { kind: revocation.kind, eventId, detail: detailOf(revocation) };
    await recordAudit(queries, { tenant: scope.tenant, atMs, outcome: "done", ...what, ...act });
    return { kind: "done", committed: [committed] };
  });
}

function scopeOf(tenant: string | undefined): Extract<Scope, { readonly tenant: string }> {
  return { role: "tenant", tenant: tenant ?? OPERATORS_TENANT };
}

/** What names the revoked, as in the log; the row says kind and tenant itself. */
function detailOf(revocation: Revocation): Readonly<Record<string, string | number>> {
  const named = Object.entries(revocationFields(revocation)).filter(
    ([name]) => name !== "kind" && name !== "tenant" && name !== "issued_before",
  );
  const issued_before = cutOffOf(revocation);
  return {
    ...Object.fromEntries(named),
    ...(issued_before === undefined ? {} : { issued_before }),
  };
}
