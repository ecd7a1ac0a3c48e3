/** What administrators and operators revoke apart from users and sessions. */
import type { AuditKind } from "../audit/audit-trail.js";
import {
  liftKeyRevocation,
  revokeClient,
  revokeEverything,
  revokeKey,
  revokeTenant,
  revokeToken,
  type TokenRevocationDependencies,
} from "../admin/token-revocations.js";
import { readUnverifiedToken } from "../../tokens/unverified-token.js";
import type { RequiredScope } from "./authority.js";
import { nothingAnswer, revocationAnswer } from "./answer-schemas.js";
import { invalidField } from "./problem.js";
import {
  clientPath,
  keyBody,
  noPath,
  noQuery,
  reasonBody,
  tenantClientPath,
  tenantPath,
  tokenBody,
  waitQuery,
} from "./request-fields.js";
import { answerEnded } from "./revocation-answer.js";
import { answered, refused, type Routes } from "./route.js";
import type { Outbox } from "../outbox/outbox.js";

type ActDependencies = TokenRevocationDependencies & { readonly outbox: Outbox };

export function addTokenRevocation(routes: Routes, dependencies: ActDependencies): void {
  const plan = {
    ...revocationPlan("token_revoked", "tenant_admin", "Refuse one access token of the tenant"),
    url: "/v1/admin/tenants/:tenant/tokens/revoke",
    path: tenantPath,
    body: tokenBody,
    problems: ["not_found"],
  } as const;
  routes.guarded(plan, async ({ caller, address, path, query, body: { token: raw, reason } }) => {
    const { tenant } = path;
    const token = readUnverifiedToken(raw);
    if (token === undefined) {
      return { problem: invalidField("token", "is not a token, or names no issuer") };
    }
    if (token.tenant !== undefined && token.tenant !== tenant) {
      return { problem: invalidField("token", "names another tenant") };
    }
    const by = { caller, address, reason };
    const ended = await revokeToken(dependencies, by, { tenant, token });
    return answerEnded(dependencies.outbox, ended, query.wait_ms);
  });
}

export function addTenantClientRevocation(routes: Routes, dependencies: ActDependencies): void {
  const summary = "Refuse every token that an OAuth client was issued so far in the tenant";
  const plan = {
    ...revocationPlan("client_revoked", "tenant_admin", summary),
    url: "/v1/admin/tenants/:tenant/clients/:client/revoke-all",
    path: tenantClientPath,
    body: reasonBody,
    problems: ["not_found"],
  } as const;
  routes.guarded(plan, async ({ caller, address, path, query, body: { reason } }) => {
    const ended = await revokeClient(dependencies, { caller, address, reason }, path);
    return answerEnded(dependencies.outbox, ended, query.wait_ms);
  });
}

export function addClientRevocation(routes: Routes, dependencies: ActDependencies): void {
  const summary = "Refuse every token that an OAuth client was issued so far in any tenant";
  const plan = {
    ...revocationPlan("client_revoked", "operator", summary),
    url: "/v1/admin/clients/:client/revoke-all",
    path: clientPath,
    body: reasonBody,
    problems: ["not_found"],
  } as const;
  routes.guarded(plan, async ({ caller, address, path, query, body: { reason } }) => {
    const which = { tenant: undefined, client: path.client };
    const ended = await revokeClient(dependencies, { caller, address, reason }, which);
    return answerEnded(dependencies.outbox, ended, query.wait_ms);
  });
}

export function addTenantRevocation(routes: Routes, dependencies: ActDependencies): void {
  const summary = "End all sessions of a tenant and refuse every token issued in it so far";
  const plan = {
    ...revocationPlan("tenant_revoked", "tenant_admin", summary),
    url: "/v1/admin/tenants/:tenant/revoke-all",
    path: tenantPath,
    body: reasonBody,
    problems: ["not_found"],
  } as const;
  routes.guarded(plan, async ({ caller, address, path, query, body: { reason } }) => {
    const ended = await revokeTenant(dependencies, { caller, address, reason }, path.tenant);
    return answerEnded(dependencies.outbox, ended, query.wait_ms);
  });
}

export function addKeyRevocation(routes: Routes, dependencies: ActDependencies): void {
  const summary = "Refuse whatever an issuer's key has signed or will sign, until it is lifted";
  const plan = {
    ...revocationPlan("key_revoked", "operator", summary),
    url: "/v1/admin/keys/revoke",
    path: noPath,
    body: keyBody,
    problems: [],
  } as const;
  routes.guarded(plan, async ({ caller, address, query, body: { reason, ...key } }) => {
    const ended = await revokeKey(dependencies, { caller, address, reason }, key);
    return answerEnded(dependencies.outbox, ended, query.wait_ms);
  });
}

export function addKeyLift(routes: Routes, dependencies: ActDependencies): void {
  const summary =
    "Stop publishing the revocation of a key; nodes accept the key again once the log has forgotten it";
  const plan = {
    ...revocationPlan("key_revocation_lifted", "operator", summary),
    url: "/v1/admin/keys/lift",
    path: noPath,
    query: noQuery,
    body: keyBody,
    answers: { 204: nothingAnswer },
    problems: ["not_found"],
  } as const;
  routes.guarded(plan, async ({ caller, address, body: { reason, ...key } }) => {
    const lifted = await liftKeyRevocation(dependencies, { caller, address, reason }, key);
    if (typeof lifted !== "boolean") return refused("invalid_token");
    return lifted ? answered(204, undefined) : refused("not_found");
  });
}

export function addAllRevocation(routes: Routes, dependencies: ActDependencies): void {
  const summary = "End all sessions of all tenants and refuse every token issued so far";
  const plan = {
    ...revocationPlan("all_revoked", "operator", summary),
    url: "/v1/admin/revoke-all",
    path: noPath,
    body: reasonBody,
    problems: [],
  } as const;
  routes.guarded(plan, async ({ caller, address, query, body: { reason } }) => {
    const ended = await revokeEverything(dependencies, { caller, address, reason });
    return answerEnded(dependencies.outbox, ended, query.wait_ms);
  });
}

function revocationPlan<Need extends RequiredScope>(kind: AuditKind, need: Need, summary: string) {
  return {
    method: "POST",
    kind,
    limited: true,
    need,
    summary,
    tag: "Revocations",
    query: waitQuery,
    answers: { 200: revocationAnswer, 202: revocationAnswer },
  } as const;
}
