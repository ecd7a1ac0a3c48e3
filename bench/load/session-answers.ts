/** What is wrong with the session service's answers to the benchmark; undefined: nothing. */
import { z } from "zod";

import { parseJsonLine } from "../../dev/child-process.js";
import type { HttpAnswer } from "./http-sender.js";
import type { OpenedSession, Read } from "./session-messages.js";

const tokensSchema = z.object({
  access_token: z.string().min(1),
  token_type: z.literal("Bearer"),
  refresh_token: z.string().min(1),
  session_id: z.string(),
  password_change_required: z.literal(false),
});

const sessionsSchema = z.array(z.object({ session_id: z.string(), current: z.boolean() }));

export const receiptSchema = z.object({
  published: z.literal(true),
  confirmed: z.literal(true),
  nodes: z.number(),
  applied: z.number(),
});

/** Either what the session holds from now on, or the fault. */
export function refreshed(answer: HttpAnswer, before: OpenedSession): OpenedSession | string {
  if (answer.status !== 200) return said(answer);
  const tokens = tokensSchema.safeParse(parseJsonLine(answer.body)).data;
  if (tokens === undefined) return `not the answer to a refresh: ${answer.body.slice(0, 200)}`;
  if (tokens.session_id !== before.session) {
    return `the tokens are of session ${tokens.session_id} instead of ${before.session}`;
  }
  if (tokens.refresh_token === before.refreshToken) return "the refresh token was not rotated";
  if (tokens.access_token === before.accessToken) return "the access token is not a new one";
  const { access_token: accessToken, refresh_token: refreshToken } = tokens;
  return { session: before.session, accessToken, refreshToken };
}

/** @param asking the session that asked for itself */
export function faultOfRead(
  answer: HttpAnswer,
  { list, length }: Read,
  asking: string | undefined,
): string | undefined {
  if (answer.status !== 200) return said(answer);
  const body = z.record(z.string(), z.unknown()).safeParse(parseJsonLine(answer.body)).data;
  const items = body?.[list];
  if (!Array.isArray(items)) return `no list of ${list}: ${answer.body.slice(0, 200)}`;
  if (items.length !== length) return `${items.length} ${list} instead of ${length}`;
  if (asking === undefined) return undefined;
  const sessions = sessionsSchema.safeParse(items).data ?? [];
  const current = sessions.filter((one) => one.current).map((one) => one.session_id);
  return current.join(", ") === asking ? undefined : `the session that asks is not marked`;
}

export function faultOfReceipt(answer: HttpAnswer, nodes: number): string | undefined {
  if (answer.status !== 200) return said(answer);
  const receipt = receiptSchema.safeParse(parseJsonLine(answer.body)).data;
  if (receipt?.nodes === nodes && receipt.applied === nodes) return undefined;
  return `not the receipt of ${nodes} nodes: ${answer.body.slice(0, 300)}`;
}

function said(answer: HttpAnswer): string {
  return `answered ${answer.status} ${answer.body.slice(0, 200)}`;
}
