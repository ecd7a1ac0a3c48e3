/**
 * The transaction of an administrator's act, in which the caller's session is checked once more.
 *
 * A revocation locks the revoked user's row until it is committed, and so does every act of that
 * user: one of the two comes first. If the revocation does, the act finds its caller's session
 * ended and does nothing; if the act does, the revocation is answered only after it. So nothing is
 * committed for a caller once their revocation was acknowledged. A cut-off of the caller's tenant
 * locks no user's row: acts hold cut-offs off instead (`outbox/cut-offs-sql.ts`).
 *
 * After that lock users' rows are locked before anything else, in the byte order of tenant and id, as everywhere:
 * administrators who act on each other wait, but never deadlock.
 *
 * The caller's row is not changed, but its lock is exclusive all the same. PostgreSQL grants a
 * shared lock ahead of a waiting exclusive one, so an administrator who never stops acting could
 * postpone their own revocation. The price: one administrator's concurrent acts run one after the
 * other.
 */
import type { Scope } from "../database/scope.js";
import { takeScope, type Queries } from "../database/queries-sql.js";
import { CALLER_ENDED, isSessionActive, type Caller, type CallerEnded } from "../login/caller.js";
import { holdOffCutOffs, lockCutOffs } from "../outbox/cut-offs-sql.js";
import { lockUser } from "../login/ending-sql.js";
import type { AdminDependencies, UserTarget } from "./admin-act.js";

export interface ActionScope {
  /** The role that the act runs under: usually the tenant that it concerns. */
  readonly scope: Scope;
  /** The user whose row the act changes, if any. */
  readonly target?: UserTarget;
  /**
   * Runs under `scope` and replaces the locks on caller and target: locks both, in the same order.
   */
  readonly lockMore?: (queries: Queries) => Promise<unknown>;
  /** The act raises a cut-off itself. */
  readonly raisesCutOff?: boolean;
}

/** Rejects with a DatabaseError, or with whatever `work` threw. */
export async function withCallerLock<T>(
  { db, clock }: Pick<AdminDependencies, "db" | "clock">,
  caller: Caller,
  { scope, target, lockMore, raisesCutOff = false }: ActionScope,
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
    await (raisesCutOff ? lockCutOffs(queries) : holdOffCutOffs(queries));
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

/** Without duplicates. */
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
