/** The API's answers: described in the OpenAPI document, and checked before they are sent. */
import { z } from "zod";
import { revocationAnswerSchema } from "../../revocation-log/api-answers.js";
import { PROBLEM_CODES, PROBLEMS, type ProblemCode } from "./problem-codes.js";
import { PROBLEM_TYPE } from "./problem-headers.js";
import { API_SCHEMAS } from "./request-fields.js";

const time = z.iso.datetime().register(API_SCHEMAS, { pattern: undefined });
const count = z.int().min(0);

export const tokensAnswer = z
  .object({
    access_token: z.string(),
    token_type: z.literal("Bearer"),
    expires_in: count,
    refresh_token: z.string(),
    session_id: z.string(),
    password_change_required: z.boolean(),
  })
  .register(API_SCHEMAS, {
    id: "Tokens",
    description:
      "`expires_in`: seconds until the access token expires. With `password_change_required` the session may only replace its password; the next refresh after that makes it a full session.",
  });

/** 204: done, with no content. */
export const nothingAnswer = z.undefined().register(API_SCHEMAS, { description: "Done." });

export const revocationAnswer = revocationAnswerSchema.register(API_SCHEMAS, {
  id: "Revocation",
  description:
    "`published` and `acknowledged`: in force, on every node after its staleness limit at the latest. Otherwise (202) it is committed and will be published; `code` says why it is not published yet. `applied` counts the nodes (of `nodes`) that have confirmed it, and `per_node` says after how many milliseconds; `pending` nodes have not confirmed it in time, and `silent` ones must be stale if they are running. A node with the `reason` `former_log` was last seen in a log that has been left, and may still follow it; it is silent if that log was retired. The other reasons concern rows in Redis that another process has written or removed; their nodes are pending: `not_delivered` (the row says that the node has applied the entry, but Redis has not delivered it to that node), `row_conflict` (the row contradicts what it said before) and `row_missing` (there is no row, so `max_staleness_ms` and `on_stale` are left out). `confirmed`: no node is pending. The nodes are left out without `wait_ms`, and when they are not known.",
});

export type RevocationBody = z.output<typeof revocationAnswer>;

export const passwordSetAnswer = revocationAnswerSchema
  .extend({ one_time_password: z.string().optional() })
  .register(API_SCHEMAS, {
    id: "PasswordSet",
    description:
      "`one_time_password` is shown only in this answer: it opens one session, which must replace it. The rest as for `Revocation`.",
  });

const sessionFields = {
  session_id: z.string(),
  device_name: z.string(),
  address: z.string(),
  created_at: time,
  last_used_at: time,
  last_used_address: z.string(),
};

export const ownSessionsAnswer = z
  .object({
    sessions: z.array(
      z.object({ ...sessionFields, ended_at: time.optional(), current: z.boolean() }),
    ),
  })
  .register(API_SCHEMAS, { id: "OwnSessions" });

const next_cursor = z.string().optional();

export const userSessionsAnswer = z
  .object({
    sessions: z.array(
      z.object({
        ...sessionFields,
        expires_at: time,
        ended_at: time.optional(),
        ended_by: z.string().optional(),
      }),
    ),
    next_cursor,
  })
  .register(API_SCHEMAS, { id: "UserSessions" });

export const tenantAnswer = z
  .object({ tenant: z.string(), name: z.string(), created_at: time })
  .register(API_SCHEMAS, { id: "Tenant" });

export const tenantsAnswer = z
  .object({ tenants: z.array(tenantAnswer), next_cursor })
  .register(API_SCHEMAS, { id: "Tenants" });

export const ROLES = ["operator", "tenant_admin", "user"] as const;

const userFields = {
  user_id: z.string(),
  login: z.string(),
  role: z.enum(ROLES),
  created_at: time,
  disabled_at: time.optional(),
  locked_until: time.optional(),
};

export const usersAnswer = z
  .object({ users: z.array(z.object(userFields)), next_cursor })
  .register(API_SCHEMAS, { id: "Users" });

export const createdUserAnswer = z
  .object({ ...userFields, one_time_password: z.string().optional() })
  .register(API_SCHEMAS, {
    id: "CreatedUser",
    description: "`one_time_password` is shown only in this answer, if no password was given.",
  });

export const auditAnswer = z
  .object({
    entries: z.array(
      z.object({
        at: time,
        kind: z.string(),
        outcome: z.enum(["done", "refused", "failed"]),
        reason: z.string().optional(),
        actor: z.string(),
        user_id: z.string().optional(),
        session_id: z.string().optional(),
        address: z.string().optional(),
        event_id: z.string().optional(),
        detail: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
      }),
    ),
    next_cursor,
  })
  .register(API_SCHEMAS, { id: "AuditEntries" });

export const jwksAnswer = z
  .object({ keys: z.array(z.looseObject({})) })
  .register(API_SCHEMAS, { id: "JsonWebKeySet", description: "RFC 7517, section 5." });

const problemAnswer = z
  .object({
    type: z.string(),
    title: z.string(),
    status: count,
    code: z.enum(PROBLEM_CODES),
    detail: z.string().optional(),
    errors: z.array(z.object({ field: z.string(), problem: z.string() })).optional(),
  })
  .register(API_SCHEMAS, {
    id: "Problem",
    description: "RFC 9457. Programs tell problems apart by `code`.",
  });

const STATUS_MEANINGS: Readonly<Record<number, string>> = {
  200: "Done.",
  201: "Created.",
  202: "Committed, and certain to be published, but not in force yet.",
};

/** The part of a route's description with its successful answers. */
export function answerResponses(
  answers: Readonly<Record<number, z.ZodType>>,
): Readonly<Record<string, unknown>> {
  const responses = Object.entries(answers).map(([status, schema]): [string, unknown] => {
    const description = STATUS_MEANINGS[Number(status)];
    // 204 has no content to describe.
    if (description === undefined) return [status, schema];
    return [status, { description, content: { "application/json": { schema } } }];
  });
  return Object.fromEntries(responses);
}

interface ProblemResponse {
  readonly description: string;
  readonly content: {
    readonly [PROBLEM_TYPE]: { readonly schema: typeof problemAnswer };
  };
}

/** The part of a route's description with its problems, by status. */
export function problemResponses(
  ...codes: readonly ProblemCode[]
): Readonly<Record<number, ProblemResponse>> {
  const statuses = new Set(codes.map((code) => PROBLEMS[code].status));
  return Object.fromEntries(
    [...statuses].sort().map((status) => {
      const ofStatus = codes.filter((code) => PROBLEMS[code].status === status);
      const description = ofStatus.map((code) => `\`${code}\`: ${PROBLEMS[code].title}.`).join(" ");
      return [status, { description, content: { [PROBLEM_TYPE]: { schema: problemAnswer } } }];
    }),
  );
}
