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
import { readStanding, type SessionStanding } from "./session-sql.js";

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

export interface CallerParts {
  readonly db: Database;
  readonly clock: Clock;
  readonly verifier: OwnTokenVerifier;
}

/** undefined: refused. Rejects with a DatabaseError or a SigningKeyError. */
export async function callerOf(parts: CallerParts, bearer: string): Promise<Caller | undefined> {
  const token = await parts.verifier.verify(bearer);
  if (token === undefined) return undefined;
  const { tenant, user, session } = token;
  const standing = await parts.db.transaction({ role: "tenant", tenant }, (queries) =>
    readStanding(queries, { tenant, session }),
  );
  if (standing === undefined || !isGood(token, standing, parts.clock.wallMs())) return undefined;
  return { tenant, user, session, scopes: presentScopes(token, standing) };
}

/**
 * Whether somebody who was let in would be let in still. To be asked again after anything that a
 * caller can draw out, such as a body that trickles in: whoever expects to be revoked could otherwise
 * keep a request open for long. It may be over a moment later; an act asks in its own transaction.
 */
export async function isStillGood(
  { db, clock }: Pick<CallerParts, "db" | "clock">,
  caller: Caller,
): Promise<boolean> {
  return db.transaction({ role: "tenant", tenant: caller.tenant }, (queries) =>
    holdsStill(queries, caller, clock.wallMs()),
  );
}

/**
 * The same within the transaction of an act, as the caller's tenant. With the lock on the caller's
 * own row (`lockUser`), which everybody who ends a session holds, it stays so until the end.
 */
export async function holdsStill(
  queries: Queries,
  { tenant, user, session }: Caller,
  nowMs: number,
): Promise<boolean> {
  const standing = await readStanding(queries, { tenant, session });
  return standing?.user === user && isOpen(standing, nowMs);
}

/**
 * The epoch must be the user's very own: an earlier one was revoked, and a later one was never given
 * (it can only come from a database that has since been set back).
 */
export function isGood(
  token: Pick<AccessToken, "user" | "epoch">,
  standing: SessionStanding,
  nowMs: number,
): boolean {
  return standing.user === token.user && standing.epoch === token.epoch && isOpen(standing, nowMs);
}

/** Whatever raises the epoch ends the sessions, too. */
function isOpen(standing: SessionStanding, nowMs: number): boolean {
  return !standing.disabled && !standing.ended && !hasExpired(standing, nowMs);
}

/** What the token says, but nothing that the user may no longer do. */
export function presentScopes(
  { scopes }: Pick<AccessToken, "scopes">,
  { role, passwordChangeOnly }: Pick<SessionStanding, "role" | "passwordChangeOnly">,
): ReadonlySet<string> {
  const allowed = new Set([PASSWORD_CHANGE_SCOPE, ...scopesOf(role, passwordChangeOnly)]);
  return new Set([...scopes].filter((scope) => allowed.has(scope)));
}
