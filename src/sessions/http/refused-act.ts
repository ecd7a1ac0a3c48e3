/** What the audit trail says of an act that the API refused to somebody who has logged in. */
import { z } from "zod";
import { actorName, type AuditKind } from "../audit/audit-trail.js";
import type { RefusedAct } from "../audit/refusal-trail.js";
import { identifierSchema } from "../../tokens/identifier.js";
import type { Caller } from "../login/caller.js";
import type { RequiredScope } from "./authority.js";
import type { ProblemCode } from "./problem-codes.js";

/**
 * What a handler refuses for the trail: what the rules forbid, and callers who were revoked while
 * they asked. The rest is a mistake in the request, or the verb itself has written it down.
 */
const FOR_THE_TRAIL: ReadonlySet<ProblemCode> = new Set<ProblemCode>([
  "password_unacceptable",
  "last_operator",
  "invalid_token",
  "session_ended",
]);

export function isForTheTrail(code: ProblemCode): boolean {
  return FOR_THE_TRAIL.has(code);
}

/** What is no id is left out, whatever it is. */
const given = identifierSchema.optional().catch(undefined);
const inPath = z.object({ tenant: given, user: given, session: given });
const inBody = z.object({ tenant: given, user_id: given, login: given });

export interface RefusedRequest {
  readonly kind: AuditKind;
  readonly need: RequiredScope;
  readonly caller: Caller;
  readonly code: ProblemCode;
  readonly address: string;
  /** As far as they have come; not looked at by anybody yet. */
  readonly params: unknown;
  readonly body: unknown;
}

/**
 * It stands in the caller's own trail, and nowhere else. Whom it would have concerned is told as it
 * was asked, whether or not there is such a tenant or user; in `detail` where the tenant is another
 * one, because the same id there is somebody else.
 */
export function refusedAct(request: RefusedRequest): RefusedAct {
  const { kind, caller, code, address } = request;
  const { tenant, user: subject } = caller;
  const by = { subject, actor: actorName(tenant, subject), reason: code, address };
  const { login, ...target } = targetOf(request);
  const named = login === undefined ? {} : { login };
  if (target.tenant === tenant) {
    const { user, session } = target;
    return { tenant, kind, user, session, ...by, detail: named };
  }
  const whom = { tenant: target.tenant, user_id: target.user, session_id: target.session };
  return { tenant, kind, ...by, detail: { ...withoutGaps(whom), ...named } };
}

interface Target {
  readonly tenant: string | undefined;
  readonly user: string | undefined;
  readonly session: string | undefined;
  readonly login?: string | undefined;
}

function targetOf({ need, caller, params, body }: RefusedRequest): Target {
  const path = inPath.safeParse(params).data;
  // People act on themselves, with the session that asks unless they name another one.
  if (need === "session" || need === "user") {
    const { tenant, user, session } = caller;
    return { tenant, user, session: path?.session ?? session };
  }
  const told = inBody.safeParse(body).data;
  return {
    tenant: path?.tenant ?? told?.tenant,
    user: path?.user ?? told?.user_id,
    session: path?.session,
    login: told?.login,
  };
}

function withoutGaps(
  fields: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}
