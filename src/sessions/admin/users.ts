import { z } from "zod";
import type { AuditKind } from "../audit/audit-trail.js";
import { recordAudit } from "../audit/audit-trail-sql.js";
import { oneTimePassword } from "../passwords/one-time-password.js";
import { passwordFaults, type PasswordFault } from "../passwords/password-rules.js";
import type { Queries } from "../database/queries-sql.js";
import type { Caller, CallerEnded } from "../login/caller.js";
import type { Act } from "../login/ending-sql.js";
import { withCallerLock } from "./caller-lock.js";
import { actOf, type AdminDependencies, type ActorContext } from "./admin-act.js";
import { OPERATORS_TENANT } from "../database/scope.js";
import {
  KEY_PARTS,
  pageOf,
  startOf,
  type CursorInvalid,
  type Page,
  type PageRequest,
} from "./page.js";
import { tenantExists } from "./tenants-sql.js";
import { addUser, readUsers, whatIsTaken, type Role, type UserView } from "./users-sql.js";

export interface UserOrder {
  /** Generated if left out. */
  readonly userId?: string | undefined;
  readonly login: string;
  readonly role: Role;
  /** A one-time password is generated if left out. */
  readonly password?: string | undefined;
}

export type CreateUserOutcome =
  | {
      readonly kind: "created";
      readonly user: UserView;
      /** Shown only in this answer. undefined: the request gave the password. */
      readonly oneTimePassword: string | undefined;
    }
  | { readonly kind: "exists"; readonly what: "user_id" | "login" }
  | { readonly kind: "tenant_not_found" }
  /** The operators' tenant has operators only, and no other tenant has any. */
  | { readonly kind: "role_unfit" }
  | { readonly kind: "password_unacceptable"; readonly problems: readonly PasswordFault[] }
  | CallerEnded;

export async function createUser(
  dependencies: AdminDependencies,
  by: ActorContext,
  tenant: string,
  order: UserOrder,
): Promise<CreateUserOutcome> {
  return enrol(dependencies, { act: actOf(by), caller: by.caller }, tenant, order);
}

/** As `createUser`; `caller` is undefined for the command line (`operators.ts`). */
export async function enrol(
  dependencies: AdminDependencies,
  { act, caller }: { readonly act: Act; readonly caller: Caller | undefined },
  tenant: string,
  order: UserOrder,
): Promise<CreateUserOutcome> {
  const { db, clock, hasher } = dependencies;
  const { login, role } = order;
  if ((role === "operator") !== (tenant === OPERATORS_TENANT)) return { kind: "role_unfit" };
  const user = order.userId ?? dependencies.newUserId();
  const problems =
    order.password === undefined ? [] : passwordFaults(order.password, { login, userId: user });
  if (problems.length > 0) return { kind: "password_unacceptable", problems };
  const scope = { role: "tenant", tenant } as const;
  // Checked before the password is hashed, because hashing is expensive.
  const obstacle = await db.transaction(scope, async (queries) => {
    if (!(await tenantExists(queries, tenant))) return { kind: "tenant_not_found" } as const;
    const what = await whatIsTaken(queries, { tenant, user, login });
    return what === undefined ? undefined : ({ kind: "exists", what } as const);
  });
  if (obstacle !== undefined) return obstacle;
  const password = order.password ?? oneTimePassword(dependencies.randomBytes);
  const oneTime = order.password === undefined;
  const passwordHash = await hasher.hash(password);
  const add = async (queries: Queries): Promise<CreateUserOutcome> => {
    const atMs = clock.wallMs();
    const added = { tenant, user, login, role, passwordHash, oneTime, atMs };
    if (!(await addUser(queries, added))) {
      // Users are never deleted, so the row that caused the conflict is still there.
      return { kind: "exists", what: (await whatIsTaken(queries, added)) ?? "user_id" };
    }
    const kind: AuditKind = role === "operator" ? "operator_created" : "user_created";
    const detail = { role, one_time_password: oneTime };
    await recordAudit(queries, { tenant, atMs, kind, outcome: "done", user, detail, ...act });
    const never = { disabledAtMs: undefined, lockedUntilMs: undefined };
    return {
      kind: "created",
      user: { user, login, role, createdAtMs: atMs, ...never },
      oneTimePassword: oneTime ? password : undefined,
    };
  };
  return caller === undefined
    ? db.transaction(scope, add)
    : withCallerLock(dependencies, caller, { scope }, add);
}

/** A tenant's users by id. undefined: no such tenant. */
export async function listUsers(
  { db }: AdminDependencies,
  tenant: string,
  { cursor, limit }: PageRequest,
): Promise<Page<UserView> | CursorInvalid | undefined> {
  const list = { of: ["users", tenant], key: z.tuple([KEY_PARTS.id]) };
  const start = startOf(list, cursor);
  return db.transaction({ role: "tenant", tenant }, async (queries) => {
    if (!(await tenantExists(queries, tenant))) return undefined;
    if (start === "invalid") return { kind: "cursor_invalid" } as const;
    const rows = await readUsers(queries, tenant, start?.[0], limit + 1);
    return pageOf(list, rows, limit, ({ user }): [string] => [user]);
  });
}
