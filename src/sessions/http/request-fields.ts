/**
 * The fields of requests. Each has a bound, and unknown fields are refused.
 *
 * `API_SCHEMAS` names and describes fields and answers in the OpenAPI document; what is accepted is
 * defined by the schemas themselves.
 */
import { z } from "zod";
import {
  CURSOR_MAX_CHARACTERS,
  PAGE_LIMIT_DEFAULT,
  PAGE_LIMIT_MAX,
  TIME_MAX_MS,
} from "../admin/page.js";
import { TOKEN_MAX_BYTES } from "../../tokens/compact-jws.js";
import { identifierSchema, issuerNameSchema, sha256Schema } from "../../tokens/identifier.js";

export const API_SCHEMAS = z.registry<Record<string, unknown>>();

/** A tenant's, user's, session's or client's id; also a login, which has the same form. */
export const idField = identifierSchema.register(API_SCHEMAS, {
  description: "Compared byte for byte; without control characters.",
  minLength: 1,
  maxLength: 256,
});

/**
 * An id for something new. `.` and `..` in a URL mean another path, so nothing with such an id
 * could be addressed.
 */
export const newIdField = identifierSchema
  .refine((id) => id !== "." && id !== "..", { error: "must not be `.` or `..`" })
  .register(API_SCHEMAS, {
    description: "Compared byte for byte; without control characters; not `.` or `..`.",
    minLength: 1,
    maxLength: 256,
  });

const CONTROL_CHARACTER = /\p{Cc}/u;

/** Text for people, in one line. Lengths are in code points. */
function lineOf(minCodePoints: number, maxCodePoints: number, description: string) {
  const length = { minLength: minCodePoints, maxLength: maxCodePoints };
  return z
    .string()
    .refine(
      (text) => {
        if (text.length > 2 * maxCodePoints || !text.isWellFormed()) return false;
        const codePoints = Array.from(text).length;
        const fits = codePoints >= minCodePoints && codePoints <= maxCodePoints;
        return fits && !CONTROL_CHARACTER.test(text);
      },
      {
        error: `must be ${minCodePoints} to ${maxCodePoints} characters of well-formed Unicode without control characters`,
      },
    )
    .register(API_SCHEMAS, { ...length, description });
}

export const nameField = lineOf(1, 256, "A name for people.");
export const deviceNameField = lineOf(1, 256, "A name by which the user recognises the device.");
export const reasonField = lineOf(1, 256, "Why; kept in the audit trail.");
/** In an actor's name both ids are escaped. */
export const actorField = lineOf(1, 8192, "As the audit trail writes it, such as `user:acme/ada`.");

/**
 * No password is longer. Shorter ones than the rules allow are accepted here and fail to log in.
 */
export const passwordField = z
  .string()
  .min(1)
  .max(1024)
  .register(API_SCHEMAS, { format: "password" });

/** In a body only: addresses are logged on the way. */
export const tokenField = z.string().min(1).max(TOKEN_MAX_BYTES).register(API_SCHEMAS, {
  description: "An access token as it was issued, expired or not.",
});

export const issuerField = issuerNameSchema.register(API_SCHEMAS, {
  description: "As in the tokens' `iss`, byte for byte.",
});
export const thumbprintField = sha256Schema.register(API_SCHEMAS, {
  description: "RFC 7638, SHA-256, in base64url.",
  minLength: 43,
  maxLength: 43,
});

export const refreshTokenField = z.string().min(1).max(1024);

/** A whole number in a query, in digits only. */
function queryNumber(
  description: string,
  { min, max, preset }: { min: number; max: number; preset: number },
) {
  return z
    .string()
    .refine((text) => /^[0-9]{1,9}$/.test(text) && Number(text) >= min && Number(text) <= max, {
      error: `must be a whole number from ${min} to ${max}`,
    })
    .transform(Number)
    .default(preset)
    .register(API_SCHEMAS, {
      type: "integer",
      minimum: min,
      maximum: max,
      description: `${description} ${preset} if left out.`,
    });
}

export const WAIT_MAX_MS = 10_000;
const WAIT_DEFAULT_MS = 1000;

export const waitMsField = queryNumber(
  "How long to wait for the nodes to have applied it, in milliseconds.",
  { min: 0, max: WAIT_MAX_MS, preset: WAIT_DEFAULT_MS },
);
export const limitField = queryNumber("How many to list.", {
  min: 1,
  max: PAGE_LIMIT_MAX,
  preset: PAGE_LIMIT_DEFAULT,
});
const cursorField = z
  .string()
  .min(1)
  .max(CURSOR_MAX_CHARACTERS)
  .register(API_SCHEMAS, { description: "`next_cursor` of the previous page." });

/** A time in a query (RFC 3339), converted to Unix milliseconds. */
export const timeField = z.iso
  .datetime({ offset: true, error: "must be a time such as 2026-01-31T12:00:00Z" })
  .transform((text) => Date.parse(text))
  .refine((ms) => ms >= 0 && ms <= TIME_MAX_MS, { error: "must be a time from 1970 to 9999" })
  .register(API_SCHEMAS, { type: "string", format: "date-time", pattern: undefined });

export const noPath = z.strictObject({});
export const noQuery = z.strictObject({});
export const waitQuery = z.strictObject({ wait_ms: waitMsField });
export const reasonedWaitQuery = z.strictObject({
  wait_ms: waitMsField,
  reason: reasonField.optional(),
});
export const pageQuery = z.strictObject({ limit: limitField, cursor: cursorField.optional() });

export const noBody = z.strictObject({});
export const reasonBody = z.strictObject({ reason: reasonField.optional() });

export const tokenBody = z.strictObject({ token: tokenField, reason: reasonField.optional() });
export const keyBody = z.strictObject({
  issuer: issuerField,
  thumbprint: thumbprintField,
  reason: reasonField.optional(),
});

export const tenantPath = z.strictObject({ tenant: idField });
export const userPath = z.strictObject({ tenant: idField, user: idField });
export const sessionPath = z.strictObject({ tenant: idField, user: idField, session: idField });
export const clientPath = z.strictObject({ client: idField });
export const tenantClientPath = z.strictObject({ tenant: idField, client: idField });
export const ownSessionPath = z.strictObject({ session: idField });
