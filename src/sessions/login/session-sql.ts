import { and, desc, eq, gt, isNull, not } from "drizzle-orm";
import type { Queries } from "../database/queries-sql.js";
import { sessions, users } from "../database/schema-sql.js";
import { IS_CUT_OFF } from "../outbox/cut-offs-sql.js";
import type { LockedUser } from "./ending-sql.js";
import type { RefreshableSession } from "./refresh-decision.js";
import { insertRefreshToken, type SessionKey } from "./refresh-token-sql.js";
import type { SessionLimits } from "./session-limits.js";
import type { SessionView } from "./session-view.js";

export interface NewSession extends SessionKey {
  readonly user: string;
  readonly deviceName: string;
  readonly address: string;
  readonly passwordChangeOnly: boolean;
}

/** The generation of a session's first refresh token. */
const FIRST_GENERATION = 0;

/** Opens a session with its first refresh token. Requires the user's lock. */
export async function insertSession(
  queries: Queries,
  opened: NewSession,
  first: {
    readonly tokenHash: Uint8Array;
    readonly nowMs: number;
    readonly limits: Pick<SessionLimits, "idleMs" | "absoluteMs">;
  },
): Promise<void> {
  const { tokenHash, nowMs, limits } = first;
  const now = new Date(nowMs);
  const expiresAt = new Date(nowMs + limits.absoluteMs);
  const idleExpiresAt = new Date(Math.min(nowMs + limits.idleMs, expiresAt.getTime()));
  const { tenant: tenantId, session: sessionId, user: userId, address, ...rest } = opened;
  await queries.insert(sessions).values({
    tenantId,
    sessionId,
    userId,
    address,
    deviceName: rest.deviceName,
    passwordChangeOnly: rest.passwordChangeOnly,
    createdAt: now,
    lastUsedAt: now,
    lastUsedAddress: address,
    refreshGeneration: FIRST_GENERATION,
    idleExpiresAt,
    expiresAt,
  });
  await insertRefreshToken(queries, opened, {
    tokenHash,
    generation: FIRST_GENERATION,
    predecessor: undefined,
    retries: 0,
    issuedAtMs: nowMs,
    expiresAtMs: idleExpiresAt.getTime(),
  });
}

export interface LockedSession extends RefreshableSession {
  readonly createdAtMs: number;
  /** The newest refresh token's. */
  readonly generation: number;
  readonly passwordChangeOnly: boolean;
}

/** Locks the session's row until the transaction ends. Always after the user's. */
export async function lockSession(
  queries: Queries,
  key: SessionKey,
): Promise<LockedSession | undefined> {
  const [found] = await queries
    .select({ row: sessions, isCutOff: IS_CUT_OFF })
    .from(sessions)
    .where(sameSession(key))
    .for("update");
  if (found === undefined) return undefined;
  const { row, isCutOff } = found;
  return {
    createdAtMs: row.createdAt.getTime(),
    ended: row.endedAt !== null || isCutOff,
    idleExpiresAtMs: row.idleExpiresAt.getTime(),
    expiresAtMs: row.expiresAt.getTime(),
    generation: row.refreshGeneration,
    passwordChangeOnly: row.passwordChangeOnly,
  };
}

export interface SessionUse {
  readonly address: string;
  readonly nowMs: number;
  readonly idleExpiresAtMs: number;
  /** The issued refresh token's. */
  readonly generation: number;
}

/** Records that a locked session was refreshed. */
export async function useSession(
  queries: Queries,
  key: SessionKey,
  use: SessionUse,
): Promise<void> {
  await queries
    .update(sessions)
    .set({
      lastUsedAt: new Date(use.nowMs),
      lastUsedAddress: use.address,
      refreshGeneration: use.generation,
      idleExpiresAt: new Date(use.idleExpiresAtMs),
    })
    .where(sameSession(key));
}

/** Ends a session of which no token was handed out, so there is nothing to revoke. */
export async function abandonSession(
  queries: Queries,
  key: SessionKey,
  atMs: number,
): Promise<void> {
  await queries
    .update(sessions)
    .set({ endedAt: new Date(atMs), endedBy: "login_failed" })
    .where(and(sameSession(key), isNull(sessions.endedAt)));
}

export async function allowEverything(queries: Queries, key: SessionKey): Promise<void> {
  await queries.update(sessions).set({ passwordChangeOnly: false }).where(sameSession(key));
}

/** The current state of a session and its user. */
export interface SessionStatus extends Pick<LockedUser, "epoch" | "role"> {
  readonly user: string;
  readonly disabled: boolean;
  readonly ended: boolean;
  readonly idleExpiresAtMs: number;
  readonly expiresAtMs: number;
  readonly passwordChangeOnly: boolean;
}

export async function readSessionStatus(
  queries: Queries,
  key: SessionKey,
): Promise<SessionStatus | undefined> {
  const [row] = await queries
    .select({ session: sessions, user: users, isCutOff: IS_CUT_OFF })
    .from(sessions)
    .innerJoin(users, and(eq(users.tenantId, sessions.tenantId), eq(users.userId, sessions.userId)))
    .where(sameSession(key));
  if (row === undefined) return undefined;
  const { session, user, isCutOff } = row;
  return {
    user: user.userId,
    epoch: user.userEpoch,
    role: user.role,
    disabled: user.disabledAt !== null,
    ended: session.endedAt !== null || isCutOff,
    idleExpiresAtMs: session.idleExpiresAt.getTime(),
    expiresAtMs: session.expiresAt.getTime(),
    passwordChangeOnly: session.passwordChangeOnly,
  };
}

/** The user's open sessions, newest first, `max` at most. */
export async function readOpenSessions(
  queries: Queries,
  { tenant, user }: { readonly tenant: string; readonly user: string },
  nowMs: number,
  max: number,
): Promise<readonly SessionView[]> {
  const now = new Date(nowMs);
  const rows = await queries
    .select()
    .from(sessions)
    .where(
      and(
        eq(sessions.tenantId, tenant),
        eq(sessions.userId, user),
        isNull(sessions.endedAt),
        not(IS_CUT_OFF),
        gt(sessions.idleExpiresAt, now),
        gt(sessions.expiresAt, now),
      ),
    )
    .orderBy(desc(sessions.createdAt), desc(sessions.sessionId))
    .limit(max);
  return rows.map(sessionView);
}

export function sessionView(row: typeof sessions.$inferSelect): SessionView {
  return {
    sessionId: row.sessionId,
    deviceName: row.deviceName,
    address: row.address,
    createdAtMs: row.createdAt.getTime(),
    lastUsedAtMs: row.lastUsedAt.getTime(),
    lastUsedAddress: row.lastUsedAddress,
  };
}

function sameSession({ tenant, session }: SessionKey) {
  return and(eq(sessions.tenantId, tenant), eq(sessions.sessionId, session));
}
