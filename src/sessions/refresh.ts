/**
 * A refresh: a new access token and a new refresh token for one refresh token.
 *
 * One transaction: take `iat`, find the token, lock the user, lock the session, decide
 * (`refresh-decision.ts`), write. Only then mint. As with a login, a revocation that has the locks
 * earlier is seen, and one that has them later revokes what is minted here.
 *
 * If there is no key to sign with, the rotation is taken back: the client has got nothing and still
 * holds the token that it came with, which would otherwise count as stolen a few seconds later.
 */
import { recordAudit } from "../audit/audit-trail-sql.js";
import type { Refusals } from "../audit/refusal-trail.js";
import type { Clock } from "../clock/clock.js";
import type { Database } from "../database/database.js";
import type { Queries } from "../database/queries-sql.js";
import type { AccessTokenMint } from "../keys/signing-keys.js";
import type { LoginLimits } from "../limits/login-limits.js";
import type { CommittedRevocation, Outbox } from "../outbox/outbox.js";
import { endSession, lockUser } from "./ending-sql.js";
import type { IssuedTokens } from "./issued-tokens.js";
import type { RefreshObserver, RefreshRefusal } from "./observers.js";
import { decideRefresh } from "./refresh-decision.js";
import { newRefreshToken, parseRefreshToken, type PresentedRefreshToken } from "./refresh-token.js";
import { scopesOf, type Role } from "./scopes.js";
import type { SessionLimits } from "./session-limits.js";
import {
  findRefreshToken,
  lockSession,
  takeBackRotation,
  useSession,
  type LockedSession,
} from "./session-sql.js";
import { faultOf } from "./system-fault.js";

export interface RefreshParts {
  readonly db: Database;
  readonly clock: Clock;
  readonly limits: Pick<LoginLimits, "admitRefresh">;
  readonly mint: AccessTokenMint;
  readonly outbox: Outbox;
  readonly refusals: Refusals;
  readonly randomBytes: (size: number) => Uint8Array;
  /** A new UUID for each revocation. */
  readonly newEventId: () => string;
  readonly options: SessionLimits;
  readonly observer: RefreshObserver;
}

export interface RefreshRequest {
  readonly refreshToken: string;
  readonly address: string;
}

export type RefreshOutcome =
  | { readonly kind: "rotated"; readonly tokens: IssuedTokens }
  | { readonly kind: "refused"; readonly code: RefreshRefusal }
  | { readonly kind: "limited"; readonly retryAfterS: number };

/** Rejects where the system is at fault: DatabaseError, SigningKeyError. */
export async function refresh(
  parts: RefreshParts,
  request: RefreshRequest,
): Promise<RefreshOutcome> {
  try {
    return await attempt(parts, request);
  } catch (error) {
    parts.observer.onRefresh("failed", faultOf(error));
    throw error;
  }
}

async function attempt(parts: RefreshParts, request: RefreshRequest): Promise<RefreshOutcome> {
  const { db, limits, observer } = parts;
  const admission = await limits.admitRefresh(request);
  if (!admission.admitted) {
    observer.onLimit(admission.limit, { address: request.address });
    observer.onRefresh("limited", "refresh");
    return { kind: "limited", retryAfterS: admission.retryAfterS };
  }
  const presented = parseRefreshToken(request.refreshToken);
  const done: Done =
    presented === undefined
      ? { kind: "refused", code: "refresh_token_invalid" }
      : await db.transaction({ role: "tenant", tenant: presented.tenant }, (queries) =>
          refreshOrEnd(queries, parts, presented, request.address),
        );
  if (done.kind === "used") {
    const tokens = await issue(parts, done);
    observer.onRefresh("rotated", done.isSibling ? "sibling" : "rotated");
    return { kind: "rotated", tokens };
  }
  if (done.kind === "reused") {
    const { eventId, revocation } = done.committed;
    observer.onReuse({ tenant: revocation.tenant, address: request.address, eventId });
    // Whatever is not published now, the relay publishes.
    await parts.outbox.publish([done.committed], 0);
  }
  if (done.kind === "refused" && done.whose !== undefined) {
    const { whose, code: reason } = done;
    // Nobody has proved to be the user; whoever it is has a token of theirs.
    const by = { actor: "anonymous", subject: whose.user, address: request.address };
    parts.refusals.record({ ...whose, kind: "refresh", reason, ...by });
  }
  const code = done.kind === "reused" ? "refresh_token_reused" : done.code;
  observer.onRefresh("refused", code);
  return { kind: "refused", code };
}

type Done =
  | {
      readonly kind: "refused";
      readonly code: RefreshRefusal;
      /** undefined: the token was never given out, or is forgotten. */
      readonly whose?: { readonly tenant: string; readonly user: string; readonly session: string };
    }
  | { readonly kind: "reused"; readonly committed: CommittedRevocation }
  | UsedSession;

/** All that is needed to mint, and to take back what was done if that fails. */
interface UsedSession {
  readonly kind: "used";
  readonly tenant: string;
  readonly user: string;
  readonly session: string;
  readonly role: Role;
  readonly epoch: number;
  readonly issuedAtS: number;
  readonly address: string;
  readonly refreshToken: string;
  readonly isSibling: boolean;
  readonly generation: number;
  readonly before: LockedSession;
}

async function refreshOrEnd(
  queries: Queries,
  parts: RefreshParts,
  { tenant, hash }: PresentedRefreshToken,
  address: string,
): Promise<Done> {
  // Before the locks: a token must not claim to be younger than the state that it was made of.
  const nowMs = parts.clock.wallMs();
  const unknown = { kind: "refused", code: "refresh_token_invalid" } as const;
  const token = await findRefreshToken(queries, tenant, hash);
  if (token === undefined) return unknown;
  const { user: userId, session: sessionId, generation } = token;
  const user = await lockUser(queries, tenant, userId);
  const session = await lockSession(queries, { tenant, session: sessionId });
  if (user === undefined || session === undefined) return unknown;

  const userDisabled = user.disabledAtMs !== undefined;
  const facts = { generation, userDisabled, session };
  const decision = decideRefresh(facts, nowMs, parts.options.refreshToleranceMs);
  const target = { tenant, user: userId, session: sessionId };
  if (decision.kind === "refuse") return { kind: "refused", code: decision.code, whose: target };
  if (decision.kind === "reuse") return endReused(queries, parts, target, address);

  const { token: refreshToken, hash: tokenHash } = newRefreshToken(tenant, parts.randomBytes);
  const isSibling = decision.kind === "sibling";
  const idleExpiresAtMs = Math.min(nowMs + parts.options.idleMs, session.expiresAtMs);
  const rotatedAtMs = isSibling ? session.rotatedAtMs : nowMs;
  const given = { generation: decision.generation, tokenHash, rotatedAtMs, idleExpiresAtMs };
  await useSession(queries, target, { address, nowMs, ...given });
  const { role, epoch } = user;
  const minting = { ...target, role, epoch, issuedAtS: Math.floor(nowMs / 1000), refreshToken };
  const { generation: made } = given;
  return { kind: "used", ...minting, address, isSibling, generation: made, before: session };
}

/** Both the thief and the one who was robbed have to log in again; only one of them can. */
async function endReused(
  queries: Queries,
  parts: RefreshParts,
  target: { readonly tenant: string; readonly user: string; readonly session: string },
  address: string,
): Promise<Done> {
  const kind = "refresh_token_reused";
  const act = { actor: "sekisho", reason: kind, address };
  const committed = await endSession(queries, target, { ...act, endedBy: kind }, parts);
  if (committed === undefined) return { kind: "refused", code: "refresh_token_invalid" };
  const { atMs, eventId } = committed;
  const entry = { ...target, atMs, eventId, kind, outcome: "done", ...act } as const;
  await recordAudit(queries, entry);
  return { kind: "reused", committed };
}

async function issue(parts: RefreshParts, used: UsedSession): Promise<IssuedTokens> {
  const { tenant, user, session, role, epoch, issuedAtS, refreshToken } = used;
  const { passwordChangeOnly } = used.before;
  const scopes = scopesOf(role, passwordChangeOnly);
  try {
    const who = { tenant, user, session, epoch };
    const facts = { ...who, scopes, issuedAtS, forServiceOnly: passwordChangeOnly };
    const { token: accessToken, expiresInS } = await parts.mint.mint(facts);
    return { accessToken, expiresInS, refreshToken, sessionId: session, passwordChangeOnly };
  } catch (error) {
    // If even this fails, it is as if the answer had been lost on its way.
    await takeBack(parts, used, error).catch(() => undefined);
    throw error;
  }
}

async function takeBack(
  { db, clock }: RefreshParts,
  used: UsedSession,
  error: unknown,
): Promise<void> {
  const { tenant, user, session, address } = used;
  await db.transaction({ role: "tenant", tenant }, async (queries) => {
    if (!used.isSibling) {
      await takeBackRotation(queries, used, used.generation, used.before);
    }
    const who = { tenant, user, session, address, actor: "anonymous" };
    const atMs = clock.wallMs();
    const reason = faultOf(error);
    await recordAudit(queries, { ...who, atMs, kind: "refresh", outcome: "failed", reason });
  });
}
