/** The transaction in which a login with the right password opens a session, or is refused. */
import { actorName } from "../audit/audit-trail.js";
import { recordAudit } from "../audit/audit-trail-sql.js";
import type { Queries } from "../database/queries-sql.js";
import { readCredential, replaceHash, useOneTimePassword, type Account } from "./account-sql.js";
import {
  endOldestSessions,
  lockUser,
  type EndingDependencies,
  type LockedUser,
} from "./ending-sql.js";
import { forgetFailures, lockFailures } from "./lockout-sql.js";
import { lockedForS } from "./lockout.js";
import { loginRefused, type TriedLogin } from "./login-audit.js";
import { newRefreshToken } from "./refresh-token.js";
import type { Role } from "./scopes.js";
import { OPEN_SESSIONS_MAX, type SessionLimits } from "./session-limits.js";
import { insertSession } from "./session-sql.js";

/** An account whose password was verified, with the credential that it was verified against. */
export interface VerifiedAccount extends Account {
  /** The password's new hash; undefined: the stored one is kept. */
  readonly rehashed: string | undefined;
}

export interface OpeningDependencies extends EndingDependencies {
  readonly randomBytes: (size: number) => Uint8Array;
  readonly options: SessionLimits;
}

export type Opening =
  | OpenedSession
  | {
      readonly kind: "refused";
      readonly code: "account_locked" | "account_disabled";
      readonly retryAfterS?: number;
    }
  /** The account no longer has the verified password; nothing was done. */
  | { readonly kind: "changed_meanwhile" };

/** Everything that minting needs. */
export interface OpenedSession {
  readonly kind: "opened";
  readonly tenant: string;
  readonly user: string;
  readonly session: string;
  readonly role: Role;
  readonly epoch: number;
  readonly issuedAtS: number;
  readonly passwordChangeOnly: boolean;
  readonly refreshToken: string;
}

/** 144 bits. */
const SESSION_ID_BYTES = 18;

export async function openSession(
  queries: Queries,
  dependencies: OpeningDependencies,
  request: TriedLogin & { readonly deviceName: string },
  account: VerifiedAccount,
): Promise<Opening> {
  const { tenant, login } = request;
  // Before the lock: a token must not be dated later than the state that it is based on.
  const nowMs = dependencies.clock.wallMs();
  const user = await lockUser(queries, tenant, account.user);
  if (user?.login !== login || !(await isUnchanged(queries, tenant, account))) {
    return { kind: "changed_meanwhile" };
  }
  const retryAfterS = lockedForS(await lockFailures(queries, { tenant, login }), nowMs);
  const isLocked = retryAfterS !== undefined;
  if (isLocked || user.disabledAtMs !== undefined) {
    const code = isLocked ? "account_locked" : "account_disabled";
    const refused = { reason: code, atMs: nowMs };
    await recordAudit(queries, loginRefused(request, account.user, refused));
    return { kind: "refused", code, ...(isLocked ? { retryAfterS } : {}) };
  }
  await forgetFailures(queries, { tenant, login });
  await useCredential(queries, tenant, account, nowMs);
  await makeRoom(queries, dependencies, request, account.user);
  return insertOpened(queries, dependencies, request, { user, account, nowMs });
}

/** A one-time password may have been used meanwhile; any password may have been replaced. */
async function isUnchanged(
  queries: Queries,
  tenant: string,
  { user, credential: verified }: VerifiedAccount,
): Promise<boolean> {
  const present = await readCredential(queries, tenant, user);
  return (
    present?.passwordHash === verified.passwordHash &&
    present.oneTime === verified.oneTime &&
    present.used === verified.used
  );
}

async function useCredential(
  queries: Queries,
  tenant: string,
  { user, credential, rehashed }: VerifiedAccount,
  nowMs: number,
): Promise<void> {
  if (credential.oneTime) await useOneTimePassword(queries, tenant, user, nowMs);
  else if (rehashed !== undefined) await replaceHash(queries, tenant, user, rehashed);
}

/**
 * Ends the oldest sessions if one more would be too many. Before the new one is inserted, so that
 * it is not ended itself if a clock was set back.
 */
async function makeRoom(
  queries: Queries,
  dependencies: EndingDependencies,
  { tenant, address }: TriedLogin,
  user: string,
): Promise<void> {
  const reason = "too_many_sessions";
  const act = { actor: "sekisho", reason, address };
  const target = { tenant, user, keep: OPEN_SESSIONS_MAX - 1 };
  const ended = await endOldestSessions(queries, target, { ...act, endedBy: reason }, dependencies);
  const entries = ended.map(({ session, committed: { atMs, eventId } }) => {
    const what = { kind: "session_revoked", outcome: "done", ...act } as const;
    return { tenant, user, session, atMs, eventId, ...what };
  });
  await recordAudit(queries, ...entries);
}

async function insertOpened(
  queries: Queries,
  { randomBytes, options }: OpeningDependencies,
  { tenant, address, deviceName }: TriedLogin & { readonly deviceName: string },
  by: { readonly user: LockedUser; readonly account: VerifiedAccount; readonly nowMs: number },
): Promise<OpenedSession> {
  const { nowMs } = by;
  const { user, credential } = by.account;
  const passwordChangeOnly = credential.oneTime;
  const session = Buffer.from(randomBytes(SESSION_ID_BYTES)).toString("base64url");
  const { token: refreshToken, hash } = newRefreshToken(tenant, randomBytes);
  const opened = { tenant, session, user, deviceName, address, passwordChangeOnly };
  await insertSession(queries, opened, { tokenHash: hash, nowMs, limits: options });
  await recordAudit(queries, {
    tenant,
    atMs: nowMs,
    kind: "login",
    outcome: "done",
    actor: actorName(tenant, user),
    user,
    session,
    address,
    detail: { one_time_password: passwordChangeOnly },
  });
  const { role, epoch } = by.user;
  const issuedAtS = Math.floor(nowMs / 1000);
  const minting = { tenant, user, session, role, epoch, issuedAtS };
  return { kind: "opened", ...minting, passwordChangeOnly, refreshToken };
}
