/**
 * A refresh: a new access token and a new refresh token for one refresh token.
 *
 * One transaction: take `iat`, find the token, lock the user, lock the session, decide
 * (`refresh-decision.ts`), write. Only then mint. As with a login, a revocation that had the locks
 * earlier is seen, and one that gets them later revokes what is minted here. A revocation published
 * past the service since the last search of the log is not seen; `issueTimeMs` explains why it
 * still revokes what is minted here. After too long without a search nothing is issued.
 *
 * If there is no signing key, the change is undone: the client got nothing and still has its old
 * token, which would otherwise count as stolen later.
 */
import { recordAudit } from "../audit/audit-trail-sql.js";
import type { Refusals } from "../audit/refusal-trail.js";
import type { Clock } from "../../runtime/clock.js";
import type { Database } from "../database/database.js";
import type { Queries } from "../database/queries-sql.js";
import type { AccessTokenMint } from "../keys/signing-keys.js";
import type { LoginLimits } from "../limits/login-limits.js";
import { readUnsearchedMs } from "../outbox/log-record-sql.js";
import type { DecidedRevocation } from "../../revocation-log/publisher.js";
import { recordTenantOf } from "../outbox/revocation-record-sql.js";
import { holdOffCutOffs } from "../outbox/cut-offs-sql.js";
import type { Outbox } from "../outbox/outbox.js";
import { endSession, lockUser } from "./ending-sql.js";
import type { IssuedTokens } from "./issued-tokens.js";
import type { RefreshObserver, RefreshRefusal } from "./observers.js";
import { decideRefresh, issueTimeMs, type GivingDecision } from "./refresh-decision.js";
import { newRefreshToken, parseRefreshToken, type PresentedRefreshToken } from "./refresh-token.js";
import {
  findRefreshToken,
  giveRefreshToken,
  readTokens,
  takeBackRefreshToken,
  type GivenRefreshToken,
} from "./refresh-token-sql.js";
import { scopesOf, type Role } from "./scopes.js";
import type { SessionLimits } from "./session-limits.js";
import { lockSession, useSession, type LockedSession } from "./session-sql.js";
import { faultOf } from "./system-fault.js";

export interface RefreshDependencies {
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
  | { readonly kind: "limited"; readonly retryAfterS: number }
  /** No instance has searched the log for too long. The presented token stays valid. */
  | { readonly kind: "unsearched" };

/** Rejects where the system is at fault: DatabaseError, SigningKeyError. */
export async function refresh(
  dependencies: RefreshDependencies,
  request: RefreshRequest,
): Promise<RefreshOutcome> {
  try {
    return await attempt(dependencies, request);
  } catch (error) {
    dependencies.observer.onRefresh("failed", faultOf(error));
    throw error;
  }
}

async function attempt(
  dependencies: RefreshDependencies,
  request: RefreshRequest,
): Promise<RefreshOutcome> {
  const { db, limits, observer } = dependencies;
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
          refreshOrEnd(queries, dependencies, presented, request.address),
        );
  if (done.kind === "used") {
    const tokens = await issue(dependencies, done);
    const { kind } = done.given.decision;
    observer.onRefresh("rotated", kind === "rotate" ? "rotated" : kind);
    return { kind: "rotated", tokens };
  }
  if (done.kind === "unsearched") {
    observer.onRefresh("failed", "revocation_log");
    return done;
  }
  if (done.kind === "reused") {
    const { eventId, revocation } = done.committed;
    observer.onReuse({ tenant: recordTenantOf(revocation), address: request.address, eventId });
    // What is not published now will be published by the relay.
    await dependencies.outbox.publish([done.committed], 0);
  }
  if (done.kind === "refused" && done.whose !== undefined) {
    const { whose, code: reason } = done;
    // Holding a refresh token does not prove to be the user.
    const by = { actor: "anonymous", subject: whose.user, address: request.address };
    dependencies.refusals.record({ ...whose, kind: "refresh", reason, ...by });
  }
  const code = done.kind === "reused" ? "refresh_token_reused" : done.code;
  observer.onRefresh("refused", code);
  return { kind: "refused", code };
}

type Done =
  | {
      readonly kind: "refused";
      readonly code: RefreshRefusal;
      /** undefined: the token is unknown or purged. */
      readonly whose?: { readonly tenant: string; readonly user: string; readonly session: string };
    }
  | { readonly kind: "reused"; readonly committed: DecidedRevocation }
  | { readonly kind: "unsearched" }
  | UsedSession;

/** What is needed to mint, and to undo the change if minting fails. */
interface UsedSession {
  readonly kind: "used";
  readonly tenant: string;
  readonly user: string;
  readonly session: string;
  readonly role: Role;
  readonly epoch: number;
  readonly issuedAtS: number;
  /** By how much the access token expires earlier than one issued now. */
  readonly olderByS: number;
  readonly address: string;
  readonly refreshToken: string;
  readonly given: GivenRefreshToken;
  readonly passwordChangeOnly: boolean;
}

async function refreshOrEnd(
  queries: Queries,
  dependencies: RefreshDependencies,
  { tenant, hash }: PresentedRefreshToken,
  address: string,
): Promise<Done> {
  // Before the locks: a token must not be dated later than the state that it is based on.
  const nowMs = dependencies.clock.wallMs();
  await holdOffCutOffs(queries);
  const unknown = { kind: "refused", code: "refresh_token_invalid" } as const;
  const token = await findRefreshToken(queries, tenant, hash);
  if (token === undefined) return unknown;
  const { user: userId, session: sessionId } = token;
  const user = await lockUser(queries, tenant, userId);
  const target = { tenant, user: userId, session: sessionId };
  const session = await lockSession(queries, target);
  const tokens = await readTokens(queries, target, token.generation);
  if (user === undefined || session === undefined || tokens === undefined) return unknown;

  const userDisabled = user.disabledAtMs !== undefined;
  const { refreshToleranceMs: toleranceMs, refreshRetryMs: retryMs } = dependencies.options;
  const facts = { ...tokens, userDisabled, session };
  const decision = decideRefresh(facts, { nowMs, toleranceMs, retryMs });
  if (decision.kind === "refuse") return { kind: "refused", code: decision.code, whose: target };
  if (decision.kind === "reuse") return endReused(queries, dependencies, target, address);
  // Without a log there is nothing to search.
  const unsearchedMs = (await readUnsearchedMs(queries)) ?? 0;
  const issuedAtMs = issueTimeMs({
    nowMs,
    unsearchedMs,
    sessionCreatedAtMs: session.createdAtMs,
    unsearchedMaxMs: dependencies.options.refreshUnsearchedMaxMs,
  });
  if (issuedAtMs === undefined) return { kind: "unsearched" };

  const { token: refreshToken, hash: tokenHash } = newRefreshToken(
    tenant,
    dependencies.randomBytes,
  );
  const generation = session.generation + 1;
  const given = { decision, token: tokens.token, tokenHash, generation };
  await give(queries, dependencies, target, { given, session, address, nowMs });
  const { role, epoch } = user;
  const issuedAtS = Math.floor(issuedAtMs / 1000);
  const minting = { ...target, role, epoch, issuedAtS, refreshToken };
  const olderByS = Math.floor(nowMs / 1000) - issuedAtS;
  const { passwordChangeOnly } = session;
  return { kind: "used", ...minting, olderByS, address, given, passwordChangeOnly };
}

async function give(
  queries: Queries,
  { options }: Pick<RefreshDependencies, "options">,
  target: { readonly tenant: string; readonly user: string; readonly session: string },
  giving: {
    readonly given: GivenRefreshToken;
    readonly session: LockedSession;
    readonly address: string;
    readonly nowMs: number;
  },
): Promise<void> {
  const { given, session, address, nowMs } = giving;
  const { generation } = given;
  const idleExpiresAtMs = Math.min(nowMs + options.idleMs, session.expiresAtMs);
  await useSession(queries, target, { address, nowMs, idleExpiresAtMs, generation });
  await giveRefreshToken(queries, target, given, { nowMs, expiresAtMs: idleExpiresAtMs });
  const { kind: reason }: GivingDecision = given.decision;
  if (reason === "rotate") return;
  // Holding a refresh token does not prove to be the user: a thief could get these.
  const by = { actor: "anonymous", address, atMs: nowMs, reason };
  await recordAudit(queries, { ...target, kind: "refresh", outcome: "done", ...by });
}

/** The user and the thief both have to log in again; only the user can. */
async function endReused(
  queries: Queries,
  dependencies: RefreshDependencies,
  target: { readonly tenant: string; readonly user: string; readonly session: string },
  address: string,
): Promise<Done> {
  const kind = "refresh_token_reused";
  const act = { actor: "sekisho", reason: kind, address };
  const ended = await endSession(queries, target, { ...act, endedBy: kind }, dependencies);
  if (ended?.kind !== "ended") return { kind: "refused", code: "refresh_token_invalid" };
  const { committed } = ended;
  const { atMs, eventId } = committed;
  const entry = { ...target, atMs, eventId, kind, outcome: "done", ...act } as const;
  await recordAudit(queries, entry);
  return { kind: "reused", committed };
}

async function issue(dependencies: RefreshDependencies, used: UsedSession): Promise<IssuedTokens> {
  const { tenant, user, session, role, epoch, issuedAtS, refreshToken, passwordChangeOnly } = used;
  const scopes = scopesOf(role, passwordChangeOnly);
  try {
    const who = { tenant, user, session, epoch };
    const facts = { ...who, scopes, issuedAtS, forServiceOnly: passwordChangeOnly };
    const { token: accessToken, expiresInS: lifetimeS } = await dependencies.mint.mint(facts);
    const expiresInS = Math.max(0, lifetimeS - used.olderByS);
    return { accessToken, expiresInS, refreshToken, sessionId: session, passwordChangeOnly };
  } catch (error) {
    // If even this fails, it is as if the answer had been lost.
    await takeBack(dependencies, used, error).catch(() => undefined);
    throw error;
  }
}

async function takeBack(
  { db, clock }: RefreshDependencies,
  used: UsedSession,
  error: unknown,
): Promise<void> {
  const { tenant, user, session, address } = used;
  await db.transaction({ role: "tenant", tenant }, async (queries) => {
    await lockSession(queries, used);
    await takeBackRefreshToken(queries, used, used.given);
    const who = { tenant, user, session, address, actor: "anonymous" };
    const atMs = clock.wallMs();
    const reason = faultOf(error);
    await recordAudit(queries, { ...who, atMs, kind: "refresh", outcome: "failed", reason });
  });
}
