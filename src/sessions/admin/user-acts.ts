/**
 * What an administrator does to a user. undefined or false means: no such user. Each act may find
 * that its caller was revoked meanwhile.
 */
import type { AuditKind } from "../audit/audit-trail.js";
import { recordAudit } from "../audit/audit-trail-sql.js";
import type { Queries } from "../database/queries-sql.js";
import { OPERATORS_TENANT } from "../database/scope.js";
import { oneTimePassword } from "../passwords/one-time-password.js";
import { passwordFaults, type PasswordFault } from "../passwords/password-rules.js";
import { readLogin } from "../login/account-sql.js";
import type { CallerEnded } from "../login/caller.js";
import { endEverything, endSession, lockUser } from "../login/ending-sql.js";
import { forgetFailures } from "../login/lockout-sql.js";
import { withCallerLock, type ActionScope } from "./caller-lock.js";
import {
  actOf,
  type AdminDependencies,
  type ActorContext,
  type Revoked,
  type UserTarget,
} from "./admin-act.js";
import { enabledOperators, replacePassword, setDisabled } from "./user-acts-sql.js";

export type RevokeOutcome = ({ readonly kind: "done" } & Revoked) | CallerEnded;

/** Refuses every token that the user has, and ends all sessions; the user may log in again. */
export async function revokeAll(
  dependencies: AdminDependencies,
  by: ActorContext,
  target: UserTarget,
): Promise<RevokeOutcome | undefined> {
  return withCallerLock(dependencies, by.caller, placeOf(target), async (queries) => {
    const ended = await endAll(queries, { dependencies, by, target, kind: "user_revoked" });
    return ended && { kind: "done", ...ended };
  });
}

/** Ends one session. undefined: that user has no such session. */
export async function endUserSession(
  dependencies: AdminDependencies,
  by: ActorContext,
  target: UserTarget & { readonly session: string },
): Promise<RevokeOutcome | undefined> {
  const { tenant, user, session } = target;
  const kind = "session_revoked";
  return withCallerLock(dependencies, by.caller, placeOf(target), async (queries) => {
    const act = actOf(by);
    const ended = await endSession(queries, target, { ...act, endedBy: kind }, dependencies);
    if (ended === undefined) return undefined;
    const committed = ended.committed === undefined ? [] : [ended.committed];
    if (ended.kind === "ended_before") return { kind: "done", committed, repeatedBy: act.actor };
    const { atMs, eventId } = ended.committed;
    const entry = { tenant, user, session, atMs, eventId, kind, outcome: "done" } as const;
    await recordAudit(queries, { ...entry, ...act });
    return { kind: "done", committed };
  });
}

export type DisableOutcome =
  | RevokeOutcome
  /** It would leave no operator who could undo it. */
  | { readonly kind: "last_operator" };

/** Ends all sessions and tokens of the user and blocks logins. Can be repeated. */
export async function disableUser(
  dependencies: AdminDependencies,
  by: ActorContext,
  target: UserTarget,
): Promise<DisableOutcome | undefined> {
  const { tenant, user } = target;
  const amongOperators = tenant === OPERATORS_TENANT;
  // Only operators may act there, so `enabledOperators` locks the caller's row too.
  const place = { ...placeOf(target), ...(amongOperators ? { lockMore: enabledOperators } : {}) };
  return withCallerLock(
    dependencies,
    by.caller,
    place,
    async (queries): Promise<DisableOutcome | undefined> => {
      if (amongOperators) {
        const operators = await enabledOperators(queries);
        if (operators.length === 1 && operators[0] === user) return { kind: "last_operator" };
      }
      const ended = await endAll(queries, { dependencies, by, target, kind: "user_disabled" });
      if (ended === undefined) return undefined;
      await setDisabled(queries, target, dependencies.clock.wallMs());
      return { kind: "done", ...ended };
    },
  );
}

/** Lets a disabled user log in again. What was ended stays ended. */
export async function enableUser(
  dependencies: AdminDependencies,
  by: ActorContext,
  target: UserTarget,
): Promise<boolean | CallerEnded> {
  const { tenant, user } = target;
  return withCallerLock(dependencies, by.caller, placeOf(target), async (queries) => {
    if ((await lockUser(queries, tenant, user)) === undefined) return false;
    await setDisabled(queries, target, undefined);
    await record(queries, { dependencies, by, target, kind: "user_enabled" });
    return true;
  });
}

/** Forgets the failed logins, which ends an account lockout. */
export async function unlockUser(
  dependencies: AdminDependencies,
  by: ActorContext,
  target: UserTarget,
): Promise<boolean | CallerEnded> {
  const { tenant, user } = target;
  return withCallerLock(dependencies, by.caller, placeOf(target), async (queries) => {
    const locked = await lockUser(queries, tenant, user);
    if (locked === undefined) return false;
    await forgetFailures(queries, { tenant, login: locked.login });
    await record(queries, { dependencies, by, target, kind: "account_unlocked" });
    return true;
  });
}

export type SetPasswordOutcome =
  | ({
      readonly kind: "set";
      /** Shown only in this answer. undefined: the request gave the password. */
      readonly oneTimePassword: string | undefined;
    } & Revoked)
  | { readonly kind: "password_unacceptable"; readonly problems: readonly PasswordFault[] }
  | CallerEnded;

/** Replaces the password, by a one-time password unless one is given, and ends all sessions. */
export async function setPassword(
  dependencies: AdminDependencies,
  by: ActorContext,
  target: UserTarget & { readonly password?: string | undefined },
): Promise<SetPasswordOutcome | undefined> {
  const { tenant, user } = target;
  const scope = { role: "tenant", tenant } as const;
  const login = await dependencies.db.transaction(scope, (queries) =>
    readLogin(queries, tenant, user),
  );
  if (login === undefined) return undefined;
  const problems =
    target.password === undefined ? [] : passwordFaults(target.password, { login, userId: user });
  if (problems.length > 0) return { kind: "password_unacceptable", problems };
  const password = target.password ?? oneTimePassword(dependencies.randomBytes);
  const oneTime = target.password === undefined;
  const passwordHash = await dependencies.hasher.hash(password);
  const place = placeOf(target);
  return withCallerLock(
    dependencies,
    by.caller,
    place,
    async (queries): Promise<SetPasswordOutcome | undefined> => {
      const detail = { one_time_password: oneTime };
      const ended = await endAll(queries, {
        dependencies,
        by,
        target,
        kind: "password_set",
        detail,
      });
      if (ended === undefined) return undefined;
      const atMs = dependencies.clock.wallMs();
      await replacePassword(queries, { tenant, user, passwordHash, oneTime, atMs });
      return { kind: "set", oneTimePassword: oneTime ? password : undefined, ...ended };
    },
  );
}

function placeOf(target: UserTarget): ActionScope {
  return { scope: { role: "tenant", tenant: target.tenant }, target };
}

interface UserAct {
  readonly dependencies: AdminDependencies;
  readonly by: ActorContext;
  readonly target: UserTarget;
  readonly kind: AuditKind;
  readonly detail?: Readonly<Record<string, boolean>>;
}

async function endAll(queries: Queries, done: UserAct): Promise<Revoked | undefined> {
  const { dependencies, by, target, kind } = done;
  const ended = await endEverything(queries, target, { ...actOf(by), endedBy: kind }, dependencies);
  if (ended === undefined) return undefined;
  await record(queries, done, ended.eventId);
  return { committed: [ended] };
}

async function record(queries: Queries, done: UserAct, eventId?: string): Promise<void> {
  const { dependencies, by, target, kind, detail } = done;
  const { tenant, user } = target;
  const atMs = dependencies.clock.wallMs();
  const entry = { tenant, user, atMs, kind, outcome: "done", eventId, detail } as const;
  await recordAudit(queries, { ...entry, ...actOf(by) });
}
