/**
 * Who calls the service's own API: an access token of ours, looked up in the database each time. The
 * sidecars learn of a revocation through the log; the service has the truth itself.
 */
import type { Clock } from "../../runtime/clock.js";
import type { Database } from "../database/database.js";
import type { Queries } from "../database/queries-sql.js";
import type { OwnTokenVerifier } from "../keys/signing-keys.js";
import type { AccessToken } from "../../tokens/access-token.js";
import { hasExpired } from "./refresh-decision.js";
import { PASSWORD_CHANGE_SCOPE, scopesOf } from "./scopes.js";
import { readSessionStatus, type SessionStatus } from "./session-sql.js";

/** Whoever calls the API with a good access token of this service. */
export interface Caller {
  readonly tenant: string;
  readonly user: string;
  readonly session: string;
  readonly scopes: ReadonlySet<string>;
}

/** An act's outcome where the caller's session was over by then: nothing was done. */
export interface CallerEnded {
  readonly kind: "caller_ended";
}

export const CALLER_ENDED: CallerEnded = { kind: "caller_ended" };

export interface CallerDependencies {
  readonly db: Database;
  readonly clock: Clock;
  readonly verifier: OwnTokenVerifier;
}

/** undefined: refused. Rejects with a DatabaseError or a SigningKeyError. */
export async function callerOf(
  dependencies: CallerDependencies,
  bearer: string,
): Promise<Caller | undefined> {
  const token = await dependencies.verifier.verify(bearer);
  if (token === undefined) return undefined;
  const { tenant, user, session } = token;
  const status = await dependencies.db.transaction({ role: "tenant", tenant }, (queries) =>
    readSessionStatus(queries, { tenant, session }),
  );
  if (status === undefined || !isGood(token, status, dependencies.clock.wallMs())) return undefined;
  return { tenant, user, session, scopes: presentScopes(token, status) };
}

/**
 * Whether somebody who was let in would be let in still. To be asked again after anything that a
 * caller can draw out, such as a body that trickles in: whoever expects to be revoked could otherwise
 * keep a request open for long. It may be over a moment later; an act asks in its own transaction.
 */
export async function isCallerActive(
  { db, clock }: Pick<CallerDependencies, "db" | "clock">,
  caller: Caller,
): Promise<boolean> {
  return db.transaction({ role: "tenant", tenant: caller.tenant }, (queries) =>
    isSessionActive(queries, caller, clock.wallMs()),
  );
}

/**
 * The same within the transaction of an act, as the caller's tenant. With the lock on the caller's
 * own row (`lockUser`), which everybody who ends a session holds, it stays so until the end.
 */
export async function isSessionActive(
  queries: Queries,
  { tenant, user, session }: Caller,
  nowMs: number,
): Promise<boolean> {
  const status = await readSessionStatus(queries, { tenant, session });
  return status?.user === user && isOpen(status, nowMs);
}

/**
 * The epoch must be the user's very own: an earlier one was revoked, and a later one was never given
 * (it can only come from a database that has since been set back).
 */
export function isGood(
  token: Pick<AccessToken, "user" | "epoch">,
  status: SessionStatus,
  nowMs: number,
): boolean {
  return status.user === token.user && status.epoch === token.epoch && isOpen(status, nowMs);
}

/** Whatever raises the epoch ends the sessions, too. */
function isOpen(status: SessionStatus, nowMs: number): boolean {
  return !status.disabled && !status.ended && !hasExpired(status, nowMs);
}

/** What the token says, but nothing that the user may no longer do. */
export function presentScopes(
  { scopes }: Pick<AccessToken, "scopes">,
  { role, passwordChangeOnly }: Pick<SessionStatus, "role" | "passwordChangeOnly">,
): ReadonlySet<string> {
  const allowed = new Set([PASSWORD_CHANGE_SCOPE, ...scopesOf(role, passwordChangeOnly)]);
  return new Set([...scopes].filter((scope) => allowed.has(scope)));
}
