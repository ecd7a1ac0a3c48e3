/** What administrators do to users. */
import { z } from "zod";
import type { AuditKind } from "../audit/audit-trail.js";
import type { AdminDependencies, ActorContext, UserTarget } from "../admin/admin-act.js";
import {
  disableUser,
  enableUser,
  endUserSession,
  revokeAll,
  setPassword,
  unlockUser,
} from "../admin/user-acts.js";
import type { Outbox } from "../outbox/outbox.js";
import { nothingAnswer, passwordSetAnswer, revocationAnswer } from "./answer-schemas.js";
import {
  noBody,
  noQuery,
  passwordField,
  reasonBody,
  reasonedWaitQuery,
  reasonField,
  sessionPath,
  userPath,
  waitQuery,
} from "./request-fields.js";
import { answerEnded, publishAndAnswer } from "./revocation-answer.js";
import { answered, refused, type Routes } from "./route.js";
import { unacceptable } from "./user-routes.js";

const TAG = "Acts on users";

export type ActDependencies = AdminDependencies & { readonly outbox: Outbox };

export function addSessionEnd(routes: Routes, dependencies: ActDependencies): void {
  const plan = {
    method: "DELETE",
    url: "/v1/admin/tenants/:tenant/users/:user/sessions/:session",
    kind: "session_revoked",
    limited: true,
    need: "tenant_admin",
    summary: "End one session",
    tag: TAG,
    path: sessionPath,
    query: reasonedWaitQuery,
    body: noBody,
    answers: { 200: revocationAnswer, 202: revocationAnswer },
    problems: ["not_found"],
  } as const;
  routes.guarded(plan, async ({ caller, address, path, query: { reason, wait_ms: waitMs } }) => {
    const ended = await endUserSession(dependencies, { caller, address, reason }, path);
    return answerEnded(dependencies.outbox, ended, waitMs);
  });
}

export function addRevokeAll(routes: Routes, dependencies: ActDependencies): void {
  const plan = {
    ...actPlan(
      "revoke-all",
      "user_revoked",
      "End all sessions of a user and refuse every token issued so far",
    ),
    query: waitQuery,
    answers: { 200: revocationAnswer, 202: revocationAnswer },
  } as const;
  routes.guarded(plan, async ({ caller, address, path, query, body: { reason } }) => {
    const ended = await revokeAll(dependencies, { caller, address, reason }, path);
    return answerEnded(dependencies.outbox, ended, query.wait_ms);
  });
}

export function addDisable(routes: Routes, dependencies: ActDependencies): void {
  const plan = {
    ...actPlan(
      "disable",
      "user_disabled",
      "Disable a user: end all their sessions and block logins",
    ),
    query: waitQuery,
    answers: { 200: revocationAnswer, 202: revocationAnswer },
    problems: ["not_found", "last_operator"],
  } as const;
  routes.guarded(plan, async ({ caller, address, path, query, body: { reason } }) => {
    const outcome = await disableUser(dependencies, { caller, address, reason }, path);
    if (outcome?.kind === "last_operator") return refused("last_operator");
    return answerEnded(dependencies.outbox, outcome, query.wait_ms);
  });
}

export function addEnable(routes: Routes, dependencies: ActDependencies): void {
  const summary = "Let a disabled user log in again; ended sessions stay ended";
  addHarmless(routes, dependencies, {
    ...actPlan("enable", "user_enabled", summary),
    act: enableUser,
  });
}

export function addUnlock(routes: Routes, dependencies: ActDependencies): void {
  const summary = "End an account lockout and forget the failed logins";
  addHarmless(routes, dependencies, {
    ...actPlan("unlock", "account_unlocked", summary),
    act: unlockUser,
  });
}

export function addPasswordSetting(routes: Routes, dependencies: ActDependencies): void {
  const summary =
    "Replace a user's password, by a one-time password unless one is given, and end all sessions";
  const plan = {
    ...actPlan("password", "password_set", summary),
    query: waitQuery,
    body: z.strictObject({ password: passwordField.optional(), reason: reasonField.optional() }),
    answers: { 200: passwordSetAnswer, 202: passwordSetAnswer },
    problems: ["not_found", "password_unacceptable"],
  } as const;
  routes.guarded(plan, async ({ caller, address, path, query, body }) => {
    const { password, reason } = body;
    const by = { caller, address, reason };
    const outcome = await setPassword(dependencies, by, { ...path, password });
    if (outcome === undefined) return refused("not_found");
    if (outcome.kind === "caller_ended") return refused("invalid_token");
    if (outcome.kind === "password_unacceptable")
      return { problem: unacceptable(outcome.problems) };
    const answer = await publishAndAnswer(dependencies.outbox, outcome.committed, query.wait_ms);
    const { oneTimePassword: one_time_password } = outcome;
    return answered(answer.status, { ...answer.body, one_time_password });
  });
}

function actPlan(name: string, kind: AuditKind, summary: string) {
  return {
    method: "POST",
    url: `/v1/admin/tenants/:tenant/users/:user/${name}`,
    kind,
    limited: true,
    need: "tenant_admin",
    summary,
    tag: TAG,
    path: userPath,
    body: reasonBody,
    problems: ["not_found"],
  } as const;
}

/** An act that revokes nothing. */
function addHarmless(
  routes: Routes,
  dependencies: ActDependencies,
  {
    act,
    ...rest
  }: ReturnType<typeof actPlan> & {
    readonly act: (
      dependencies: AdminDependencies,
      by: ActorContext,
      target: UserTarget,
    ) => ReturnType<typeof enableUser>;
  },
): void {
  const plan = { ...rest, query: noQuery, answers: { 204: nothingAnswer } } as const;
  routes.guarded(plan, async ({ caller, address, path, body: { reason } }) => {
    const done = await act(dependencies, { caller, address, reason }, path);
    if (typeof done !== "boolean") return refused("invalid_token");
    return done ? answered(204, undefined) : refused("not_found");
  });
}
