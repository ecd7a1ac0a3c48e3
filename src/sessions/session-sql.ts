import { and, desc, eq, gt, isNull } from "drizzle-orm";
import type { Queries } from "../database/queries-sql.js";
import { refreshTokens, sessions, users } from "../database/schema-sql.js";
import type { LockedUser } from "./ending-sql.js";
import type { RefreshableSession } from "./refresh-decision.js";
import type { SessionLimits } from "./session-limits.js";
import type { SessionView } from "./session-view.js";

export interface SessionKey {
  readonly tenant: string;
  readonly session: string;
}

export interface NewSession extends SessionKey {
  readonly user: string;
  readonly deviceName: string;
  readonly address: string;
  readonly passwordChangeOnly: boolean;
}

/** The generation that a session's first refresh token has. */
const FIRST_GENERATION = 0;

/** Opens a session with its first refresh token. Only under the user's lock. */
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
    rotatedAt: now,
    idleExpiresAt,
    expiresAt,
  });
  await insertRefreshToken(queries, opened, {
    tokenHash,
    generation: FIRST_GENERATION,
    issuedAt: now,
    expiresAt: idleExpiresAt,
  });
}

async function insertRefreshToken(
  queries: Queries,
  { tenant, session }: SessionKey,
  token: Pick<
    typeof refreshTokens.$inferInsert,
    "tokenHash" | "generation" | "issuedAt" | "expiresAt"
  >,
): Promise<void> {
  await queries.insert(refreshTokens).values({ tenantId: tenant, sessionId: session, ...token });
}

export interface FoundRefreshToken {
  readonly user: string;
  readonly session: string;
  readonly generation: number;
}

/** What never changes of a token, so it needs no lock. */
export async function findRefreshToken(
  queries: Queries,
  tenant: string,
  tokenHash: Uint8Array,
): Promise<FoundRefreshToken | undefined> {
  const [row] = await queries
    .select({
      user: sessions.userId,
      session: sessions.sessionId,
      generation: refreshTokens.generation,
    })
    .from(refreshTokens)
    .innerJoin(
      sessions,
      and(
        eq(sessions.tenantId, refreshTokens.tenantId),
        eq(sessions.sessionId, refreshTokens.sessionId),
      ),
    )
    .where(and(eq(refreshTokens.tenantId, tenant), eq(refreshTokens.tokenHash, tokenHash)));
  return row;
}

export interface LockedSession extends RefreshableSession {
  readonly passwordChangeOnly: boolean;
}

/** Locks the session's row until the transaction ends. Always after the user's. */
export async function lockSession(
  queries: Queries,
  key: SessionKey,
): Promise<LockedSession | undefined> {
  const [row] = await queries.select().from(sessions).where(sameSession(key)).for("update");
  if (row === undefined) return undefined;
  return {
    ended: row.endedAt !== null,
    idleExpiresAtMs: row.idleExpiresAt.getTime(),
    expiresAtMs: row.expiresAt.getTime(),
    generation: row.refreshGeneration,
    rotatedAtMs: row.rotatedAt.getTime(),
    passwordChangeOnly: row.passwordChangeOnly,
  };
}

export interface SessionUse {
  readonly address: string;
  readonly nowMs: number;
  readonly idleExpiresAtMs: number;
  /** Of the token that is handed out. */
  readonly generation: number;
  readonly tokenHash: Uint8Array;
  /** When that generation began. */
  readonly rotatedAtMs: number;
}

/** Writes down that a locked session was refreshed. */
export async function useSession(
  queries: Queries,
  key: SessionKey,
  use: SessionUse,
): Promise<void> {
  const now = new Date(use.nowMs);
  const idleExpiresAt = new Date(use.idleExpiresAtMs);
  await queries
    .update(sessions)
    .set({
      lastUsedAt: now,
      lastUsedAddress: use.address,
      refreshGeneration: use.generation,
      rotatedAt: new Date(use.rotatedAtMs),
      idleExpiresAt,
    })
    .where(sameSession(key));
  await insertRefreshToken(queries, key, {
    tokenHash: use.tokenHash,
    generation: use.generation,
    issuedAt: now,
    expiresAt: idleExpiresAt,
  });
}

/** Makes the generation before the present one again, unless somebody has rotated since. */
export async function takeBackRotation(
  queries: Queries,
  key: SessionKey,
  made: number,
  before: { readonly generation: number; readonly rotatedAtMs: number },
): Promise<void> {
  await queries
    .update(sessions)
    .set({ refreshGeneration: before.generation, rotatedAt: new Date(before.rotatedAtMs) })
    .where(and(sameSession(key), eq(sessions.refreshGeneration, made)));
}

/** Ends a session that nobody was given a token of, so there is nothing to revoke. */
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

/** What a session and its user are at the moment. */
export interface SessionStanding extends Pick<LockedUser, "epoch" | "role"> {
  readonly user: string;
  readonly disabled: boolean;
  readonly ended: boolean;
  readonly idleExpiresAtMs: number;
  readonly expiresAtMs: number;
  readonly passwordChangeOnly: boolean;
}

export async function readStanding(
  queries: Queries,
  key: SessionKey,
): Promise<SessionStanding | undefined> {
  const [row] = await queries
    .select({ session: sessions, user: users })
    .from(sessions)
    .innerJoin(users, and(eq(users.tenantId, sessions.tenantId), eq(users.userId, sessions.userId)))
    .where(sameSession(key));
  if (row === undefined) return undefined;
  const { session, user } = row;
  return {
    user: user.userId,
    epoch: user.userEpoch,
    role: user.role,
    disabled: user.disabledAt !== null,
    ended: session.endedAt !== null,
    idleExpiresAtMs: session.idleExpiresAt.getTime(),
    expiresAtMs: session.expiresAt.getTime(),
    passwordChangeOnly: session.passwordChangeOnly,
  };
}

/** The user's open sessions, the newest first, `max` at most. */
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
        gt(sessions.idleExpiresAt, now),
        gt(sessions.expiresAt, now),
      ),
    )
    .orderBy(desc(sessions.createdAt), desc(sessions.sessionId))
    .limit(max);
  return rows.map((row) => ({
    sessionId: row.sessionId,
    deviceName: row.deviceName,
    address: row.address,
    createdAtMs: row.createdAt.getTime(),
    lastUsedAtMs: row.lastUsedAt.getTime(),
    lastUsedAddress: row.lastUsedAddress,
  }));
}

function sameSession({ tenant, session }: SessionKey) {
  return and(eq(sessions.tenantId, tenant), eq(sessions.sessionId, session));
}
