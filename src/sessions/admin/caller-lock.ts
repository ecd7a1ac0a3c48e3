/**
 * The transaction of an administrator's act, in which the caller is looked at once more.
 *
 * Whoever revokes somebody holds that user's row until it is committed, and so does every act of the
 * one who is to be revoked: one of the two comes first. If it is the revocation, the act finds that
 * its caller's session is over and does nothing; if it is the act, the revocation is not answered
 * before it. Once a caller's revocation was acknowledged, nothing of theirs is committed any more.
 *
 * Users' rows are locked before anything else, by tenant and id in the order of their bytes, as
 * everywhere: administrators who act on each other wait, but never in a circle.
 *
 * The caller's row is not changed, but the lock is exclusive all the same: PostgreSQL lets those who
 * share a lock pass one who waits to have it alone, so that an administrator who never stops acting
 * could put their own revocation off. What one administrator does at the same time is therefore done
 * one after the other.
 */
import type { Scope } from "../database/scope.js";
import { takeScope, type Queries } from "../database/queries-sql.js";
import { CALLER_ENDED, isSessionActive, type Caller, type CallerEnded } from "../login/caller.js";
import { lockUser } from "../login/ending-sql.js";
import type { AdminDependencies, UserTarget } from "./admin-act.js";

export interface ActionScope {
  /** As whom the act is done: mostly as the tenant that it concerns. */
  readonly scope: Scope;
  /** Whose row the act changes, if it is anybody's. */
  readonly target?: UserTarget;
  /** Under `scope`, instead of caller and target: locks both of them and more, in the same order. */
  readonly lockMore?: (queries: Queries) => Promise<unknown>;
}

/** Rejects with a DatabaseError, or with whatever `work` threw. */
export async function withCallerLock<T>(
  { db, clock }: Pick<AdminDependencies, "db" | "clock">,
  caller: Caller,
  { scope, target, lockMore }: ActionScope,
  work: (queries: Queries) => Promise<T>,
): Promise<T | CallerEnded> {
  const own: Scope = { role: "tenant", tenant: caller.tenant };
  const locked = lockMore === undefined ? inLockOrder(caller, target ?? caller) : [];
  const [first = { tenant: caller.tenant }] = locked;
  const begun: Scope = lockMore === undefined ? { role: "tenant", tenant: first.tenant } : scope;
  return db.transaction(begun, async (queries) => {
    let present = begun;
    const become = async (next: Scope): Promise<void> => {
      if (!isSame(present, next)) await takeScope(queries, next);
      present = next;
    };
    await lockMore?.(queries);
    for (const { tenant, user } of locked) {
      await become({ role: "tenant", tenant });
      await lockUser(queries, tenant, user);
    }
    await become(own);
    if (!(await isSessionActive(queries, caller, clock.wallMs()))) return CALLER_ENDED;
    await become(scope);
    return work(queries);
  });
}

/** Each once. */
function inLockOrder(one: UserTarget, other: UserTarget): readonly UserTarget[] {
  const order = inBytes(one.tenant, other.tenant) || inBytes(one.user, other.user);
  if (order === 0) return [one];
  return order < 0 ? [one, other] : [other, one];
}

/** As the database compares ids (COLLATE "C"). */
function inBytes(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one, "utf8"), Buffer.from(other, "utf8"));
}

function isSame(one: Scope, other: Scope): boolean {
  const tenantOf = (scope: Scope) => (scope.role === "tenant" ? scope.tenant : undefined);
  return one.role === other.role && tenantOf(one) === tenantOf(other);
}
