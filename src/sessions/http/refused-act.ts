/** The audit row of an act that the API refused to a logged-in caller. */
import { z } from "zod";
import { actorName, type AuditKind } from "../audit/audit-trail.js";
import type { RefusedAct } from "../audit/refusal-trail.js";
import { identifierSchema } from "../../tokens/identifier.js";
import type { Caller } from "../login/caller.js";
import type { RequiredScope } from "./authority.js";
import type { ProblemCode } from "./problem-codes.js";

/**
 * The handlers' refusals that belong in the audit trail: forbidden acts, and callers who were
 * revoked meanwhile. The others are mistakes in the request, or the verb has written the row
 * itself.
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

/** An invalid id is left out. */
const given = identifierSchema.optional().catch(undefined);
const inPath = z.object({ tenant: given, user: given, session: given, client: given });
const inBody = z.object({ tenant: given, user_id: given, login: given });

export interface RefusedRequest {
  readonly kind: AuditKind;
  readonly need: RequiredScope;
  readonly caller: Caller;
  readonly code: ProblemCode;
  readonly address: string;
  /** As received so far; not validated yet. */
  readonly params: unknown;
  readonly body: unknown;
}

/**
 * The row belongs to the caller's own trail only. The target is recorded as it was requested,
 * whether or not it exists; in `detail` if its tenant is another one, because there the same id is
 * another user's.
 */
export function refusedAct(request: RefusedRequest): RefusedAct {
  const { kind, caller, code, address } = request;
  const { tenant, user: subject } = caller;
  const by = { subject, actor: actorName(tenant, subject), reason: code, address };
  const { login, client, ...target } = targetOf(request);
  const named = withoutGaps({ login, client });
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
  readonly client?: string | undefined;
}

function targetOf({ need, caller, params, body }: RefusedRequest): Target {
  const path = inPath.safeParse(params).data;
  // Without another target, users act on themselves and on the session that they call with.
  if (need === "session" || need === "user") {
    const { tenant, user, session } = caller;
    return { tenant, user, session: path?.session ?? session };
  }
  const fields = inBody.safeParse(body).data;
  return {
    tenant: path?.tenant ?? fields?.tenant,
    user: path?.user ?? fields?.user_id,
    session: path?.session,
    login: fields?.login,
    client: path?.client,
  };
}

function withoutGaps(
  fields: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}
