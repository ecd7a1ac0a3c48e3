/**
 * A user chooses a new password. All their other sessions are ended, because a password is often
 * changed when it has leaked.
 *
 * As with a login, both passwords are hashed outside any transaction, and what was read before is
 * checked again under the lock. A wrong current password counts towards the lockout, so a stolen
 * access token does not help to guess it. Every attempt counts towards the limits of logins: it
 * hashes twice, and without a limit one user could block the logins of all others.
 */
import { actorName } from "../audit/audit-trail.js";
import { recordAudit } from "../audit/audit-trail-sql.js";
import type { Database } from "../database/database.js";
import type { Queries } from "../database/queries-sql.js";
import type { LoginLimits } from "../limits/login-limits.js";
import type { DecidedRevocation } from "../../revocation-log/publisher.js";
import { normalisedPassword } from "../passwords/password-form.js";
import type { PasswordHasher } from "../passwords/password-hasher.js";
import { passwordFaults, type PasswordFault } from "../passwords/password-rules.js";
import { readCredential, readLogin, storeChosenPassword } from "./account-sql.js";
import type { Caller } from "./caller.js";
import { holdOffCutOffs } from "../outbox/cut-offs-sql.js";
import { endOtherSessions, lockUser, type EndingDependencies } from "./ending-sql.js";
import { countFailure, forgetFailures, lockFailures, readFailures } from "./lockout-sql.js";
import { lockedForS, type LockoutSettings } from "./lockout.js";
import { accountLocked } from "./login-audit.js";
import type { LockoutObserver, LoginObserver } from "./observers.js";
import { allowEverything, lockSession } from "./session-sql.js";

export interface PasswordChangeDependencies extends EndingDependencies {
  readonly db: Database;
  readonly hasher: Pick<PasswordHasher, "verify" | "hash">;
  readonly limits: Pick<LoginLimits, "admit" | "succeeded">;
  readonly options: { readonly lockout: LockoutSettings };
  readonly observer: LockoutObserver & Pick<LoginObserver, "onLimit">;
}

export interface PasswordChangeRequest {
  readonly currentPassword: string;
  readonly newPassword: string;
  readonly address: string;
}

/**
 * `password_unchanged`: a one-time password would become permanent, and an administrator knows it.
 */
export type PasswordProblem = PasswordFault | "password_unchanged";

export type PasswordChangeOutcome =
  | { readonly kind: "changed"; readonly committed: readonly DecidedRevocation[] }
  | Limited
  | Refused;

interface Limited {
  readonly kind: "limited";
  readonly retryAfterS: number;
}

type Refused =
  | {
      readonly kind: "refused";
      /** `session_ended`: while the passwords were being verified. */
      readonly code: "bad_credentials" | "session_ended";
    }
  | { readonly kind: "refused"; readonly code: "account_locked"; readonly retryAfterS: number }
  | {
      readonly kind: "refused";
      readonly code: "password_unacceptable";
      readonly problems: readonly PasswordProblem[];
    };

/** Rejects where the system is at fault: DatabaseError, PasswordHasherError. */
export async function changeOwnPassword(
  dependencies: PasswordChangeDependencies,
  caller: Caller,
  request: PasswordChangeRequest,
): Promise<PasswordChangeOutcome> {
  const { db, hasher } = dependencies;
  const { tenant } = caller;
  const scope = { role: "tenant", tenant } as const;
  const found = await db.transaction(scope, (queries) => lookUp(queries, dependencies, caller));
  if (found === undefined) return { kind: "refused", code: "session_ended" };
  const act = { ...found, caller, address: request.address };
  const attempt = { tenant, login: found.login, address: request.address };
  const admission = await dependencies.limits.admit(attempt);
  if (!admission.admitted) {
    dependencies.observer.onLimit(admission.limit, { tenant, address: request.address });
    return { kind: "limited", retryAfterS: admission.retryAfterS };
  }
  if (found.retryAfterS !== undefined) return refuseLocked(dependencies, act, found.retryAfterS);
  const problems = problemsOf(request, { login: found.login, userId: caller.user });
  if (problems.length > 0) return { kind: "refused", code: "password_unacceptable", problems };
  if (!(await hasher.verify(found.passwordHash, request.currentPassword))) {
    return refuseBad(dependencies, act);
  }
  await dependencies.limits.succeeded(attempt);
  const newHash = await hasher.hash(request.newPassword);
  return db.transaction(scope, (queries) => change(queries, dependencies, act, newHash));
}

/** Whose password is changed, and what was read before. */
interface ChangeAct {
  readonly caller: Caller;
  readonly address: string;
  readonly login: string;
  readonly passwordHash: string | undefined;
}

interface LookedUp {
  readonly login: string;
  readonly passwordHash: string | undefined;
  readonly retryAfterS: number | undefined;
}

async function lookUp(
  queries: Queries,
  { clock }: PasswordChangeDependencies,
  { tenant, user }: Caller,
): Promise<LookedUp | undefined> {
  const login = await readLogin(queries, tenant, user);
  if (login === undefined) return undefined;
  const credential = await readCredential(queries, tenant, user);
  const failures = await readFailures(queries, { tenant, login });
  const retryAfterS = lockedForS(failures, clock.wallMs());
  return { login, passwordHash: credential?.passwordHash, retryAfterS };
}

function problemsOf(
  { currentPassword, newPassword }: PasswordChangeRequest,
  owner: { readonly login: string; readonly userId: string },
): readonly PasswordProblem[] {
  const faults = passwordFaults(newPassword, owner);
  if (faults.length > 0) return faults;
  // Compared in the form in which they are hashed.
  const isSame = normalisedPassword(currentPassword) === normalisedPassword(newPassword);
  return isSame ? ["password_unchanged"] : [];
}

async function change(
  queries: Queries,
  dependencies: PasswordChangeDependencies,
  act: ChangeAct,
  newHash: string,
): Promise<PasswordChangeOutcome> {
  const { tenant, user, session } = act.caller;
  const { address, login } = act;
  const atMs = dependencies.clock.wallMs();
  await holdOffCutOffs(queries);
  const locked = await lockUser(queries, tenant, user);
  const own = await lockSession(queries, { tenant, session });
  if (locked === undefined || locked.disabledAtMs !== undefined || own?.ended !== false) {
    return { kind: "refused", code: "session_ended" };
  }
  const credential = await readCredential(queries, tenant, user);
  const retryAfterS = lockedForS(await lockFailures(queries, { tenant, login }), atMs);
  if (retryAfterS !== undefined || credential?.passwordHash !== act.passwordHash) {
    const code = retryAfterS === undefined ? "bad_credentials" : "account_locked";
    await recordAudit(queries, entryOf(act, atMs, { outcome: "refused", reason: code }));
    return retryAfterS === undefined
      ? { kind: "refused", code: "bad_credentials" }
      : { kind: "refused", code: "account_locked", retryAfterS };
  }
  await storeChosenPassword(queries, { tenant, user }, newHash, atMs);
  await allowEverything(queries, { tenant, session });
  await forgetFailures(queries, { tenant, login });
  const actor = actorName(tenant, user);
  const endedBy = "password_changed";
  const ending = { actor, reason: endedBy, address, endedBy };
  const target = { tenant, user, keep: session };
  const committed = await endOtherSessions(queries, target, ending, dependencies);
  const detail = { sessions_ended: committed.length };
  await recordAudit(queries, { ...entryOf(act, atMs, { outcome: "done" }), detail });
  return { kind: "changed", committed };
}

async function refuseLocked(
  { db, clock }: PasswordChangeDependencies,
  act: ChangeAct,
  retryAfterS: number,
): Promise<Refused> {
  const refused = { outcome: "refused", reason: "account_locked" } as const;
  await db.transaction({ role: "tenant", tenant: act.caller.tenant }, (queries) =>
    recordAudit(queries, entryOf(act, clock.wallMs(), refused)),
  );
  return { kind: "refused", code: "account_locked", retryAfterS };
}

async function refuseBad(
  { db, clock, options, observer }: PasswordChangeDependencies,
  act: ChangeAct,
): Promise<Refused> {
  const { tenant, user } = act.caller;
  const tried = { tenant, login: act.login, address: act.address };
  const counted = await db.transaction({ role: "tenant", tenant }, async (queries) => {
    const atMs = clock.wallMs();
    const result = await countFailure(queries, tried, atMs, options.lockout);
    const reason = result.kind === "locked" ? "account_locked" : "bad_credentials";
    const lockedNow = result.kind === "counted" && result.lockedNow;
    const refused = entryOf(act, atMs, { outcome: "refused", reason });
    await recordAudit(queries, refused, ...(lockedNow ? [accountLocked(tried, user, atMs)] : []));
    return result;
  });
  if (counted.kind === "locked") {
    return { kind: "refused", code: "account_locked", retryAfterS: counted.retryAfterS };
  }
  if (counted.lockedNow) observer.onLockout({ tenant, address: act.address });
  return { kind: "refused", code: "bad_credentials" };
}

function entryOf(
  { caller: { tenant, user, session }, address }: ChangeAct,
  atMs: number,
  how: { readonly outcome: "done" | "refused"; readonly reason?: string },
) {
  const who = { tenant, user, session, address, actor: actorName(tenant, user) };
  return { ...who, atMs, kind: "password_changed", ...how } as const;
}
