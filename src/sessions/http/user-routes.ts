import { z } from "zod";
import type { AdminDependencies } from "../admin/admin-act.js";
import { listUserSessions } from "../admin/user-sessions.js";
import type { UserSessionView } from "../admin/user-sessions-sql.js";
import { createUser, listUsers } from "../admin/users.js";
import type { UserView } from "../admin/users-sql.js";
import { createdUserAnswer, ROLES, userSessionsAnswer, usersAnswer } from "./answer-schemas.js";
import type { Problem } from "./problem.js";
import {
  idField,
  newIdField,
  noBody,
  noQuery,
  pageQuery,
  passwordField,
  reasonField,
  tenantPath,
  userPath,
} from "./request-fields.js";
import { answered, invalidCursor, refused, type Routes } from "./route.js";
import { sessionBody } from "./session-body.js";
import { timeBody } from "./time-body.js";

const TAG = "Users";

export function addUserCreation(routes: Routes, dependencies: AdminDependencies): void {
  const plan = {
    method: "POST",
    url: "/v1/admin/tenants/:tenant/users",
    kind: "user_created",
    need: "tenant_admin",
    summary: "Create a user, with a one-time password unless one is given",
    tag: TAG,
    path: tenantPath,
    query: noQuery,
    body: z.strictObject({
      user_id: newIdField.optional(),
      login: idField,
      role: z.enum(ROLES).default("user"),
      password: passwordField.optional(),
      reason: reasonField.optional(),
    }),
    answers: { 201: createdUserAnswer },
    problems: ["password_unacceptable", "not_found", "user_id_exists", "login_exists"],
  } as const;
  routes.guarded(plan, async ({ caller, address, path, body }) => {
    const { user_id: userId, login, role, password, reason } = body;
    const by = { caller, address, reason };
    const outcome = await createUser(dependencies, by, path.tenant, {
      userId,
      login,
      role,
      password,
    });
    switch (outcome.kind) {
      case "created":
        return answered(201, {
          ...userBody(outcome.user),
          one_time_password: outcome.oneTimePassword,
        });
      case "exists":
        return refused(outcome.what === "login" ? "login_exists" : "user_id_exists");
      case "tenant_not_found":
        return refused("not_found");
      case "role_unfit": {
        const problem =
          "operators belong to the operators' tenant, all other roles to other tenants";
        return refused("request_invalid", { errors: [{ field: "role", problem }] });
      }
      case "password_unacceptable":
        return { problem: unacceptable(outcome.problems) };
      case "caller_ended":
        return refused("invalid_token");
    }
  });
}

/** `problems`: the stable codes of the password rules. */
export function unacceptable(problems: readonly string[]): Problem {
  const errors = problems.map((problem) => ({ field: "password", problem }));
  return { code: "password_unacceptable", errors };
}

export function addUsers(routes: Routes, dependencies: AdminDependencies): void {
  const plan = {
    method: "GET",
    url: "/v1/admin/tenants/:tenant/users",
    need: "tenant_admin",
    summary: "List a tenant's users by id",
    tag: TAG,
    path: tenantPath,
    query: pageQuery,
    body: noBody,
    answers: { 200: usersAnswer },
    problems: ["not_found"],
  } as const;
  routes.guarded(plan, async ({ path, query }) => {
    const page = await listUsers(dependencies, path.tenant, query);
    if (page === undefined) return refused("not_found");
    if (page.kind === "cursor_invalid") return invalidCursor();
    return answered(200, { users: page.items.map(userBody), next_cursor: page.nextCursor });
  });
}

export function addUserSessions(routes: Routes, dependencies: AdminDependencies): void {
  const plan = {
    method: "GET",
    url: "/v1/admin/tenants/:tenant/users/:user/sessions",
    need: "tenant_admin",
    summary: "List a user's sessions, newest first, including ended ones",
    tag: TAG,
    path: userPath,
    query: pageQuery,
    body: noBody,
    answers: { 200: userSessionsAnswer },
    problems: ["not_found"],
  } as const;
  routes.guarded(plan, async ({ path, query }) => {
    const page = await listUserSessions(dependencies, path, query);
    if (page === undefined) return refused("not_found");
    if (page.kind === "cursor_invalid") return invalidCursor();
    return answered(200, {
      sessions: page.items.map(userSessionBody),
      next_cursor: page.nextCursor,
    });
  });
}

function userBody(user: UserView): z.input<typeof usersAnswer>["users"][number] {
  return {
    user_id: user.user,
    login: user.login,
    role: user.role,
    created_at: timeBody(user.createdAtMs),
    disabled_at: user.disabledAtMs === undefined ? undefined : timeBody(user.disabledAtMs),
    locked_until: user.lockedUntilMs === undefined ? undefined : timeBody(user.lockedUntilMs),
  };
}

type UserSessionBody = z.input<typeof userSessionsAnswer>["sessions"][number];

function userSessionBody(session: UserSessionView): UserSessionBody {
  return {
    ...sessionBody(session),
    expires_at: timeBody(session.expiresAtMs),
    ended_at: session.endedAtMs === undefined ? undefined : timeBody(session.endedAtMs),
    ended_by: session.endedBy,
  };
}
