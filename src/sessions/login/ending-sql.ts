/**
 * How sessions end: the part that the transactions of users and administrators share.
 *
 * Locks are always taken in the order user, session. A login takes the user's row too, so it is
 * either seen and ended here, or it comes later and reads the new epoch.
 */
import { and, desc, eq, gt, inArray, isNull, ne, sql } from "drizzle-orm";
import { nextSecond, type Clock } from "../../runtime/clock.js";
import { sessions, users } from "../database/schema-sql.js";
import type { Queries } from "../database/queries-sql.js";
import type { Revocation } from "../../revocation-log/entry.js";
import type { DecidedRevocation } from "../../revocation-log/publisher.js";
import { recordRevocations } from "../outbox/revocation-record-sql.js";
import { findRevocation } from "../outbox/stored-revocations-sql.js";

/** Who acts, from where, and why. */
export interface Act {
  /** As in the audit trail. */
  readonly actor: string;
  /** Why, in the actor's words or a stable code. */
  readonly reason: string | undefined;
  readonly address: string | undefined;
}

export interface EndingDependencies {
  readonly clock: Clock;
  /** A new UUID for each revocation. */
  readonly newEventId: () => string;
}

export type EndedSession =
  | { readonly kind: "ended"; readonly committed: DecidedRevocation }
  /** Earlier, by this revocation; undefined: it was purged, since every token of it has expired. */
  | { readonly kind: "ended_before"; readonly committed: DecidedRevocation | undefined };

/**
 * Ends one session of one user. undefined: this tenant's user has no such session. A session that
 * has ended already is not revoked again: one account could fill the database that way.
 */
export async function endSession(
  queries: Queries,
  target: { readonly tenant: string; readonly user: string; readonly session: string },
  act: Act & { readonly endedBy: string },
  tools: EndingDependencies,
): Promise<EndedSession | undefined> {
  const { tenant, user, session } = target;
  const mine = and(
    eq(sessions.tenantId, tenant),
    eq(sessions.sessionId, session),
    eq(sessions.userId, user),
  );
  const [found] = await queries
    .select({ endedAt: sessions.endedAt, endedEvent: sessions.endedEvent })
    .from(sessions)
    .where(mine)
    .for("update");
  if (found === undefined) return undefined;
  if (found.endedEvent !== null) {
    const committed = await findRevocation(queries, tenant, found.endedEvent);
    return { kind: "ended_before", committed };
  }
  const atMs = tools.clock.wallMs();
  const decided = decide({ kind: "session_revoked", tenant, user, session }, atMs, act, tools);
  const ended =
    found.endedAt === null ? { endedAt: new Date(atMs), endedBy: act.endedBy } : undefined;
  await queries
    .update(sessions)
    .set({ ...ended, endedEvent: decided.eventId })
    .where(mine);
  const [committed] = await recordRevocations(queries, [decided]);
  return committed && { kind: "ended", committed };
}

/** Ends every open session of a user but one, each by itself. Returns what has to be published. */
export async function endOtherSessions(
  queries: Queries,
  target: { readonly tenant: string; readonly user: string; readonly keep: string },
  act: Act & { readonly endedBy: string },
  tools: EndingDependencies,
): Promise<readonly DecidedRevocation[]> {
  const { tenant, user, keep } = target;
  // The user's row first: a concurrent login is waited for, and ended as well.
  if ((await lockUser(queries, tenant, user)) === undefined) return [];
  const atMs = tools.clock.wallMs();
  const ended = await queries
    .update(sessions)
    .set({ endedAt: new Date(atMs), endedBy: act.endedBy, endedEvent: NEW_EVENT })
    .where(
      and(
        eq(sessions.tenantId, tenant),
        eq(sessions.userId, user),
        ne(sessions.sessionId, keep),
        isNull(sessions.endedAt),
      ),
    )
    .returning({ session: sessions.sessionId, eventId: sessions.endedEvent });
  return recordRevocations(
    queries,
    ended.map((one) => endOf({ tenant, user, ...one }, atMs, act)),
  );
}

/** Usually there is one too many; if there are more, the next logins end the rest. */
const OLDEST_ENDED_MAX = 1000;

/**
 * Ends all but the newest `keep` of a user's open sessions (expired ones are not open). Requires
 * the user's lock. The relay publishes the revocations.
 */
export async function endOldestSessions(
  queries: Queries,
  target: { readonly tenant: string; readonly user: string; readonly keep: number },
  act: Act & { readonly endedBy: string },
  tools: EndingDependencies,
): Promise<readonly { readonly session: string; readonly committed: DecidedRevocation }[]> {
  const { tenant, user, keep } = target;
  const atMs = tools.clock.wallMs();
  const now = new Date(atMs);
  const mine = and(eq(sessions.tenantId, tenant), eq(sessions.userId, user));
  const isOpen = and(
    isNull(sessions.endedAt),
    gt(sessions.idleExpiresAt, now),
    gt(sessions.expiresAt, now),
  );
  // A separate query: usually there is nothing to end, and a join of the two could be quadratic.
  const tooMany = await queries
    .select({ session: sessions.sessionId })
    .from(sessions)
    .where(and(mine, isOpen))
    .orderBy(desc(sessions.createdAt), desc(sessions.sessionId))
    .offset(keep)
    .limit(OLDEST_ENDED_MAX);
  if (tooMany.length === 0) return [];
  const ids = tooMany.map(({ session }) => session);
  const rows = await queries
    .update(sessions)
    .set({ endedAt: now, endedBy: act.endedBy, endedEvent: NEW_EVENT })
    .where(and(mine, inArray(sessions.sessionId, ids), isNull(sessions.endedAt)))
    .returning({ session: sessions.sessionId, eventId: sessions.endedEvent });
  const committed = await recordRevocations(
    queries,
    rows.map((one) => endOf({ tenant, user, ...one }, atMs, act)),
  );
  return rows.flatMap(({ session }, i) => {
    const one = committed[i];
    return one === undefined ? [] : [{ session, committed: one }];
  });
}

/** The user's row, locked until the transaction ends. */
export interface LockedUser {
  readonly epoch: number;
  readonly disabledAtMs: number | undefined;
  readonly login: string;
  readonly role: "operator" | "tenant_admin" | "user";
}

export async function lockUser(
  queries: Queries,
  tenant: string,
  user: string,
): Promise<LockedUser | undefined> {
  const [row] = await queries
    .select()
    .from(users)
    .where(and(eq(users.tenantId, tenant), eq(users.userId, user)))
    .for("no key update");
  if (row === undefined) return undefined;
  const { userEpoch: epoch, disabledAt, login, role } = row;
  return { epoch, disabledAtMs: disabledAt?.getTime(), login, role };
}

/**
 * Ends everything of a user: raises the epoch and closes all sessions. undefined: no such user.
 * The caller may already hold the user's lock in this transaction; taking it again is cheap.
 *
 * The last epoch cannot rise. Then a cut-off at the next whole second revokes the tokens, including
 * those issued within this second. So the act is answered after that second (`log-outbox.ts`), and
 * a login after the answer gets a valid token.
 */
export async function endEverything(
  queries: Queries,
  target: { readonly tenant: string; readonly user: string },
  act: Act & { readonly endedBy: string },
  tools: EndingDependencies,
): Promise<DecidedRevocation | undefined> {
  const { tenant, user } = target;
  const locked = await lockUser(queries, tenant, user);
  if (locked === undefined) return undefined;
  const atMs = tools.clock.wallMs();
  const isLast = locked.epoch >= Number.MAX_SAFE_INTEGER;
  const epoch = isLast ? locked.epoch : locked.epoch + 1;
  await queries
    .update(users)
    .set({ userEpoch: epoch })
    .where(and(eq(users.tenantId, tenant), eq(users.userId, user)));
  const revocation = {
    kind: "user_revoked",
    tenant,
    user,
    epoch,
    issuedBefore: isLast ? nextSecond(atMs) : undefined,
  } as const;
  const decided = decide(revocation, atMs, act, tools);
  await queries
    .update(sessions)
    .set({ endedAt: new Date(atMs), endedBy: act.endedBy, endedEvent: decided.eventId })
    .where(and(eq(sessions.tenantId, tenant), eq(sessions.userId, user), isNull(sessions.endedAt)));
  return (await recordRevocations(queries, [decided]))[0];
}

/**
 * Revokes tokens that neither a session nor a user names. `revocationAt`: what, given the cut-off in
 * Unix seconds that covers what is issued within this second; so the act is answered after it.
 *
 * `latestMs`: when something that it has to cover was done, by a clock that may be ahead of this one,
 * but by no more than clocks may differ.
 */
export async function revokeTokens(
  queries: Queries,
  {
    revocationAt,
    latestMs,
  }: {
    readonly revocationAt: (issuedBefore: number) => Revocation;
    readonly latestMs: number;
  },
  act: Act,
  tools: EndingDependencies & { readonly clockSkewMs: number },
): Promise<DecidedRevocation> {
  const atMs = tools.clock.wallMs();
  const coversMs = Math.max(atMs, Math.min(latestMs, atMs + tools.clockSkewMs));
  const decided = decide(revocationAt(nextSecond(coversMs)), atMs, act, tools);
  const [committed] = await recordRevocations(queries, [decided]);
  if (committed === undefined) throw new Error("a revocation was not recorded");
  return committed;
}

/** A separate event for each of many sessions, made in the statement that ends them. */
const NEW_EVENT = sql`gen_random_uuid()`;

function endOf(
  ended: {
    readonly tenant: string;
    readonly user: string;
    readonly session: string;
    readonly eventId: string | null;
  },
  atMs: number,
  act: Act,
): DecidedRevocation {
  const { eventId, ...target } = ended;
  if (eventId === null) throw new Error("a session was ended without an event");
  const revocation = { kind: "session_revoked", ...target } as const;
  return decide(revocation, atMs, act, { newEventId: () => eventId });
}

function decide(
  revocation: Revocation,
  atMs: number,
  { actor, reason }: Act,
  { newEventId }: Pick<EndingDependencies, "newEventId">,
): DecidedRevocation {
  return { eventId: newEventId(), revocation, atMs, reason, actor };
}
