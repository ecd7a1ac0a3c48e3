/**
 * What users do with their own sessions. Another user's session does not exist for them. As with
 * administrators' acts (`admin/caller-lock.ts`), the caller's session is checked under the lock on
 * their row, while cut-offs are held off.
 */
import { actorName, type AuditKind } from "../audit/audit-trail.js";
import { recordAudit } from "../audit/audit-trail-sql.js";
import type { Database } from "../database/database.js";
import type { DecidedRevocation } from "../../revocation-log/publisher.js";
import { CALLER_ENDED, isSessionActive, type Caller, type CallerEnded } from "./caller.js";
import { holdOffCutOffs } from "../outbox/cut-offs-sql.js";
import { endOtherSessions, endSession, lockUser, type EndingDependencies } from "./ending-sql.js";
import { OPEN_SESSIONS_MAX } from "./session-limits.js";
import { readOpenSessions } from "./session-sql.js";
import type { OwnSessionView } from "./session-view.js";

export interface OwnSessionDependencies extends EndingDependencies {
  readonly db: Database;
}

/** What was revoked and has to be published. */
export interface Ended {
  readonly kind: "ended";
  readonly committed: readonly DecidedRevocation[];
  /**
   * Who made the same request earlier. Set: it was done before, and there is nothing to publish.
   */
  readonly repeatedBy?: string;
}

/** The open ones, newest first. */
export async function listOwnSessions(
  { db, clock }: Pick<OwnSessionDependencies, "db" | "clock">,
  caller: Caller,
): Promise<readonly OwnSessionView[]> {
  const { tenant } = caller;
  const found = await db.transaction({ role: "tenant", tenant }, (queries) =>
    readOpenSessions(queries, caller, clock.wallMs(), OPEN_SESSIONS_MAX),
  );
  return found.map((view) => ({ ...view, current: view.sessionId === caller.session }));
}

/** `address`: the client's. undefined: the caller has no such session. */
export async function endOwnSession(
  dependencies: OwnSessionDependencies,
  caller: Caller,
  sessionId: string,
  address: string,
): Promise<Ended | CallerEnded | undefined> {
  return endOne(dependencies, caller, { session: sessionId, address, kind: "session_revoked" });
}

/** Ends the caller's current session. */
export async function logout(
  dependencies: OwnSessionDependencies,
  caller: Caller,
  address: string,
): Promise<Ended | CallerEnded> {
  const ended = await endOne(dependencies, caller, {
    session: caller.session,
    address,
    kind: "logout",
  });
  return ended ?? CALLER_ENDED;
}

/** Ends every session of the caller except the current one. */
export async function endOwnOtherSessions(
  dependencies: OwnSessionDependencies,
  caller: Caller,
  address: string,
): Promise<Ended | CallerEnded> {
  const { tenant, user, session } = caller;
  const kind = "other_sessions_revoked";
  return dependencies.db.transaction({ role: "tenant", tenant }, async (queries) => {
    await holdOffCutOffs(queries);
    await lockUser(queries, tenant, user);
    if (!(await isSessionActive(queries, caller, dependencies.clock.wallMs()))) return CALLER_ENDED;
    const act = { actor: actorName(tenant, user), reason: undefined, address };
    const target = { tenant, user, keep: session };
    const committed = await endOtherSessions(
      queries,
      target,
      { ...act, endedBy: kind },
      dependencies,
    );
    if (committed.length === 0) return { kind: "ended", committed };
    const who = { tenant, user, session, actor: act.actor, address };
    const detail = { sessions: committed.length };
    const atMs = dependencies.clock.wallMs();
    await recordAudit(queries, { ...who, atMs, kind, outcome: "done", detail });
    return { kind: "ended", committed };
  });
}

async function endOne(
  dependencies: OwnSessionDependencies,
  caller: Caller,
  which: {
    readonly session: string;
    readonly address: string;
    readonly kind: Extract<AuditKind, "logout" | "session_revoked">;
  },
): Promise<Ended | CallerEnded | undefined> {
  const { tenant, user } = caller;
  const { session, address, kind } = which;
  return dependencies.db.transaction({ role: "tenant", tenant }, async (queries) => {
    await holdOffCutOffs(queries);
    await lockUser(queries, tenant, user);
    if (!(await isSessionActive(queries, caller, dependencies.clock.wallMs()))) return CALLER_ENDED;
    const act = { actor: actorName(tenant, user), reason: undefined, address };
    const target = { tenant, user, session };
    const ended = await endSession(queries, target, { ...act, endedBy: kind }, dependencies);
    if (ended === undefined) return undefined;
    const committed = ended.committed === undefined ? [] : [ended.committed];
    if (ended.kind === "ended_before") return { kind: "ended", committed, repeatedBy: act.actor };
    const { atMs, eventId } = ended.committed;
    await recordAudit(queries, { ...target, ...act, atMs, eventId, kind, outcome: "done" });
    return { kind: "ended", committed };
  });
}
