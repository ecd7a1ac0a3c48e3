/** What users do with their own sessions. */
import { z } from "zod";
import type { Outbox } from "../outbox/outbox.js";
import type { CallerDependencies } from "../login/caller.js";
import {
  endOwnOtherSessions,
  endOwnSession,
  listOwnSessions,
  type OwnSessionDependencies,
} from "../login/own-sessions.js";
import { changeOwnPassword, type PasswordChangeDependencies } from "../login/password-change.js";
import { ownSessionsAnswer, revocationAnswer } from "./answer-schemas.js";
import {
  noBody,
  noPath,
  noQuery,
  ownSessionPath,
  passwordField,
  waitQuery,
} from "./request-fields.js";
import { answerEnded, publishAndAnswer } from "./revocation-answer.js";
import { answered, refused, type Routes } from "./route.js";
import { sessionBody } from "./session-body.js";

const TAG = "My sessions";

type OwnDependencies = OwnSessionDependencies & { readonly outbox: Outbox };

export function addOwnSessions(
  routes: Routes,
  dependencies: Pick<CallerDependencies, "db" | "clock">,
): void {
  const plan = {
    method: "GET",
    url: "/v1/me/sessions",
    need: "user",
    summary: "List my open sessions",
    tag: TAG,
    path: noPath,
    query: noQuery,
    body: noBody,
    answers: { 200: ownSessionsAnswer },
    problems: [],
  } as const;
  routes.guarded(plan, async ({ caller }) => {
    const sessions = await listOwnSessions(dependencies, caller);
    const bodies = sessions.map((one) => ({ ...sessionBody(one), current: one.current }));
    return answered(200, { sessions: bodies });
  });
}

export function addOwnSessionEnd(routes: Routes, dependencies: OwnDependencies): void {
  const plan = {
    method: "DELETE",
    url: "/v1/me/sessions/:session",
    kind: "session_revoked",
    limited: true,
    need: "user",
    summary: "End one of my sessions",
    tag: TAG,
    path: ownSessionPath,
    query: waitQuery,
    body: noBody,
    answers: { 200: revocationAnswer, 202: revocationAnswer },
    problems: ["not_found"],
  } as const;
  routes.guarded(plan, async ({ caller, path, query, address }) => {
    const ended = await endOwnSession(dependencies, caller, path.session, address);
    return answerEnded(dependencies.outbox, ended, query.wait_ms);
  });
}

export function addOtherSessionsEnd(routes: Routes, dependencies: OwnDependencies): void {
  const plan = {
    method: "POST",
    url: "/v1/me/sessions/revoke-others",
    kind: "other_sessions_revoked",
    limited: true,
    need: "user",
    summary: "End all my sessions except the current one",
    tag: TAG,
    path: noPath,
    query: waitQuery,
    body: noBody,
    answers: { 200: revocationAnswer, 202: revocationAnswer },
    problems: [],
  } as const;
  routes.guarded(plan, async ({ caller, query, address }) => {
    const ended = await endOwnOtherSessions(dependencies, caller, address);
    return answerEnded(dependencies.outbox, ended, query.wait_ms);
  });
}

export function addOwnPassword(
  routes: Routes,
  dependencies: PasswordChangeDependencies & { readonly outbox: Outbox },
): void {
  const plan = {
    method: "PUT",
    url: "/v1/me/password",
    kind: "password_changed",
    limited: true,
    need: "session",
    summary: "Change my password, and end all my sessions except the current one",
    tag: TAG,
    path: noPath,
    query: waitQuery,
    body: z.strictObject({ current_password: passwordField, new_password: passwordField }),
    answers: { 200: revocationAnswer, 202: revocationAnswer },
    problems: ["password_unacceptable", "bad_credentials", "account_locked", "session_ended"],
  } as const;
  routes.guarded(plan, async ({ caller, query, body, address }) => {
    const outcome = await changeOwnPassword(dependencies, caller, {
      currentPassword: body.current_password,
      newPassword: body.new_password,
      address,
    });
    if (outcome.kind === "changed") {
      return publishAndAnswer(dependencies.outbox, outcome.committed, query.wait_ms);
    }
    if (outcome.kind === "limited") {
      return refused("rate_limited", { retryAfterS: outcome.retryAfterS });
    }
    switch (outcome.code) {
      case "password_unacceptable": {
        const field = "new_password";
        const errors = outcome.problems.map((problem) => ({ field, problem }));
        return refused(outcome.code, { errors });
      }
      case "account_locked":
        return refused(outcome.code, { retryAfterS: outcome.retryAfterS });
      default:
        return refused(outcome.code);
    }
  });
}
