/**
 * The caller of the service's own API: an access token of ours, checked against the database each
 * time. Sidecars learn of revocations through the log; the service reads the truth itself.
 */
import type { Clock } from "../../runtime/clock.js";
import type { Database } from "../database/database.js";
import type { Queries } from "../database/queries-sql.js";
import type { OwnTokenVerifier } from "../keys/signing-keys.js";
import type { AccessToken } from "../../tokens/access-token.js";
import { hasExpired } from "./refresh-decision.js";
import { PASSWORD_CHANGE_SCOPE, scopesOf } from "./scopes.js";
import { readSessionStatus, type SessionStatus } from "./session-sql.js";

/** A caller with a valid access token of this service. */
export interface Caller {
  readonly tenant: string;
  readonly user: string;
  readonly session: string;
  readonly scopes: ReadonlySet<string>;
}

/** An act's outcome if the caller's session had ended: nothing was done. */
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
 * Whether an admitted caller would still be admitted. Check it after everything that the client can
 * prolong, such as sending the body: a caller who expects to be revoked could otherwise keep a
 * request open. The session may end a moment later; acts check again in their own transaction.
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
 * The same within an act's transaction, under the caller's tenant. With the lock on the caller's
 * row (`lockUser`), which every end of a session holds, it stays true until the transaction ends.
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
 * The epoch must be equal to the user's: an earlier one was revoked, and a later one was never
 * issued (it can only come from a database that has been restored to an earlier state since).
 */
export function isGood(
  token: Pick<AccessToken, "user" | "epoch">,
  status: SessionStatus,
  nowMs: number,
): boolean {
  return status.user === token.user && status.epoch === token.epoch && isOpen(status, nowMs);
}

/** Whatever raises the epoch also ends the sessions. */
function isOpen(status: SessionStatus, nowMs: number): boolean {
  return !status.disabled && !status.ended && !hasExpired(status, nowMs);
}

/** The token's scopes, without those that the user has lost since. */
export function presentScopes(
  { scopes }: Pick<AccessToken, "scopes">,
  { role, passwordChangeOnly }: Pick<SessionStatus, "role" | "passwordChangeOnly">,
): ReadonlySet<string> {
  const allowed = new Set([PASSWORD_CHANGE_SCOPE, ...scopesOf(role, passwordChangeOnly)]);
  return new Set([...scopes].filter((scope) => allowed.has(scope)));
}
