import { z } from "zod";
import type { IssuedTokens } from "../login/issued-tokens.js";
import { login, type LoginDependencies } from "../login/login.js";
import { logout, type OwnSessionDependencies } from "../login/own-sessions.js";
import { refresh, type RefreshDependencies } from "../login/refresh.js";
import type { Outbox } from "../outbox/outbox.js";
import { revocationAnswer, tokensAnswer } from "./answer-schemas.js";
import {
  deviceNameField,
  idField,
  noBody,
  noPath,
  noQuery,
  passwordField,
  refreshTokenField,
  waitQuery,
} from "./request-fields.js";
import { answerEnded } from "./revocation-answer.js";
import { answered, refused, type Routes } from "./route.js";

const TAG = "Sessions";
/** Until the log is searched again, usually after a failover. All clients may be waiting. */
const UNSEARCHED_RETRY_AFTER_S = 5;

const loginBody = z.strictObject({
  tenant: idField,
  login: idField,
  password: passwordField,
  device_name: deviceNameField,
});

export function addLogin(routes: Routes, dependencies: LoginDependencies): void {
  const plan = {
    method: "POST",
    url: "/v1/login",
    summary: "Open a session",
    tag: TAG,
    path: noPath,
    query: noQuery,
    body: loginBody,
    answers: { 200: tokensAnswer },
    problems: [
      "bad_credentials",
      "account_locked",
      "account_disabled",
      "rate_limited",
      "keys_unavailable",
    ],
  } as const;
  routes.open(plan, async ({ body: { device_name: deviceName, ...who }, address }) => {
    const outcome = await login(dependencies, { ...who, deviceName, address });
    switch (outcome.kind) {
      case "opened":
        return answered(200, tokensBody(outcome.tokens));
      case "refused": {
        const { code, retryAfterS } = outcome;
        return refused(code, retryAfterS === undefined ? {} : { retryAfterS });
      }
      case "limited":
        return refused("rate_limited", { retryAfterS: outcome.retryAfterS });
    }
  });
}

export function addRefresh(routes: Routes, dependencies: RefreshDependencies): void {
  const plan = {
    method: "POST",
    url: "/v1/refresh",
    summary: "Exchange a refresh token for new tokens",
    tag: TAG,
    path: noPath,
    query: noQuery,
    body: z.strictObject({ refresh_token: refreshTokenField }),
    answers: { 200: tokensAnswer },
    problems: [
      "refresh_token_invalid",
      "refresh_token_reused",
      "session_ended",
      "account_disabled",
      "rate_limited",
      "keys_unavailable",
      "log_unavailable",
    ],
  } as const;
  routes.open(plan, async ({ body: { refresh_token: refreshToken }, address }) => {
    const outcome = await refresh(dependencies, { refreshToken, address });
    switch (outcome.kind) {
      case "rotated":
        return answered(200, tokensBody(outcome.tokens));
      case "refused":
        return refused(outcome.code);
      case "limited":
        return refused("rate_limited", { retryAfterS: outcome.retryAfterS });
      case "unsearched":
        return refused("log_unavailable", { retryAfterS: UNSEARCHED_RETRY_AFTER_S });
    }
  });
}

export function addLogout(
  routes: Routes,
  dependencies: OwnSessionDependencies & { readonly outbox: Outbox },
): void {
  const plan = {
    method: "POST",
    url: "/v1/logout",
    kind: "logout",
    need: "session",
    summary: "End the session that asks",
    tag: TAG,
    path: noPath,
    query: waitQuery,
    body: noBody,
    answers: { 200: revocationAnswer, 202: revocationAnswer },
    problems: [],
  } as const;
  routes.guarded(plan, async ({ caller, query, address }) => {
    const ended = await logout(dependencies, caller, address);
    return answerEnded(dependencies.outbox, ended, query.wait_ms);
  });
}

function tokensBody(tokens: IssuedTokens): z.input<typeof tokensAnswer> {
  return {
    access_token: tokens.accessToken,
    token_type: "Bearer",
    expires_in: tokens.expiresInS,
    refresh_token: tokens.refreshToken,
    session_id: tokens.sessionId,
    password_change_required: tokens.passwordChangeOnly,
  };
}
