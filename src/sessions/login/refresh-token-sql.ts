/** A session's refresh tokens. All but `findRefreshToken` need the lock on the session's row. */
import { and, eq, inArray, isNotNull, isNull, lte, or } from "drizzle-orm";
import type { Queries } from "../database/queries-sql.js";
import { refreshTokens, sessions } from "../database/schema-sql.js";
import type { GivingDecision, PresentedToken, RefreshFacts } from "./refresh-decision.js";

export interface SessionKey {
  readonly tenant: string;
  readonly session: string;
}

export interface FoundRefreshToken {
  readonly user: string;
  readonly session: string;
  readonly generation: number;
}

/** The immutable part of a token, which needs no lock. */
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

/** The token of this generation, and the live ones. undefined: it has been purged meanwhile. */
export async function readTokens(
  queries: Queries,
  key: SessionKey,
  generation: number,
): Promise<Pick<RefreshFacts, "token" | "live"> | undefined> {
  const wanted = or(eq(refreshTokens.generation, generation), isNull(refreshTokens.replacedAt));
  const rows = await queries
    .select()
    .from(refreshTokens)
    .where(and(ofSession(key), wanted));
  const presented = rows.find((row) => row.generation === generation);
  if (presented === undefined) return undefined;
  const token: PresentedToken = {
    generation,
    predecessor: presented.predecessor ?? undefined,
    expiresAtMs: presented.expiresAt.getTime(),
    replacedAtMs: presented.replacedAt?.getTime(),
    successorUsed: presented.successorUsed,
  };
  const live = rows
    .filter(({ replacedAt }) => replacedAt === null)
    .map((row) => ({
      generation: row.generation,
      predecessor: row.predecessor ?? undefined,
      retries: row.retries,
    }));
  return { token, live };
}

export interface NewRefreshToken {
  readonly tokenHash: Uint8Array;
  readonly generation: number;
  readonly predecessor: number | undefined;
  readonly retries: number;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}

export async function insertRefreshToken(
  queries: Queries,
  { tenant, session }: SessionKey,
  { issuedAtMs, expiresAtMs, ...made }: NewRefreshToken,
): Promise<void> {
  const times = { issuedAt: new Date(issuedAtMs), expiresAt: new Date(expiresAtMs) };
  const row = { tenantId: tenant, sessionId: session, ...made, ...times };
  await queries.insert(refreshTokens).values({ ...row, successorUsed: false });
}

/** A successor, and what is needed to take it back. */
export interface GivenRefreshToken {
  readonly decision: GivingDecision;
  /** The presented token. */
  readonly token: PresentedToken;
  /** The successor's. */
  readonly tokenHash: Uint8Array;
  readonly generation: number;
}

export async function giveRefreshToken(
  queries: Queries,
  key: SessionKey,
  { decision, token, tokenHash, generation }: GivenRefreshToken,
  times: { readonly nowMs: number; readonly expiresAtMs: number },
): Promise<void> {
  const { nowMs, expiresAtMs } = times;
  await setReplaced(queries, key, decision.dies, new Date(nowMs));
  await setSettled(queries, key, decision, true);
  const retries = decision.kind === "retry" ? decision.retries : 0;
  const made = { tokenHash, generation, predecessor: token.generation, retries };
  await insertRefreshToken(queries, key, { ...made, issuedAtMs: nowMs, expiresAtMs });
  if (generation % FORGOTTEN_AT_ONCE === 0) await forgetOld(queries, key, generation);
}

/**
 * Undoes a successor that was never handed out. If another refresh has replaced it or added one
 * beside it, that one counts.
 */
export async function takeBackRefreshToken(
  queries: Queries,
  key: SessionKey,
  { decision, token, generation }: GivenRefreshToken,
): Promise<void> {
  const taken = await queries
    .delete(refreshTokens)
    .where(and(ofSession(key), eq(refreshTokens.generation, generation), isLive))
    .returning({ generation: refreshTokens.generation });
  if (taken.length === 0) return;
  if (decision.kind === "rotate" && (await hasLiveSuccessor(queries, key, token))) return;
  await setReplaced(queries, key, decision.dies, null);
  await setSettled(queries, key, decision, false);
}

const isLive = isNull(refreshTokens.replacedAt);

/**
 * How many used tokens of a session are kept, to detect their reuse; older ones are treated as
 * unknown. A client that refreshes every ten minutes uses as many in 14 days.
 */
const REMEMBERED_MAX = 2048;
const FORGOTTEN_AT_ONCE = 64;

async function forgetOld(queries: Queries, key: SessionKey, newest: number): Promise<void> {
  const isOld = lte(refreshTokens.generation, newest - REMEMBERED_MAX);
  await queries
    .delete(refreshTokens)
    .where(and(ofSession(key), isOld, isNotNull(refreshTokens.replacedAt)));
}

async function setReplaced(
  queries: Queries,
  key: SessionKey,
  generations: readonly number[],
  replacedAt: Date | null,
): Promise<void> {
  if (generations.length === 0) return;
  await queries
    .update(refreshTokens)
    .set({ replacedAt })
    .where(and(ofSession(key), inArray(refreshTokens.generation, [...generations])));
}

async function setSettled(
  queries: Queries,
  key: SessionKey,
  decision: GivingDecision,
  successorUsed: boolean,
): Promise<void> {
  const settled = decision.kind === "rotate" ? decision.settles : undefined;
  if (settled === undefined) return;
  await queries
    .update(refreshTokens)
    .set({ successorUsed })
    .where(and(ofSession(key), eq(refreshTokens.generation, settled)));
}

async function hasLiveSuccessor(
  queries: Queries,
  key: SessionKey,
  { generation }: Pick<PresentedToken, "generation">,
): Promise<boolean> {
  const found = await queries
    .select({ generation: refreshTokens.generation })
    .from(refreshTokens)
    .where(and(ofSession(key), eq(refreshTokens.predecessor, generation), isLive))
    .limit(1);
  return found.length > 0;
}

function ofSession({ tenant, session }: SessionKey) {
  return and(eq(refreshTokens.tenantId, tenant), eq(refreshTokens.sessionId, session));
}
