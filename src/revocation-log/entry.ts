/**
 * Entries of the revocation log: what a publisher writes and what every node makes of it.
 *
 * An entry that this version cannot read may be a revocation. It is never skipped silently:
 *
 * - one that names its tenant and its end, of whatever kind, makes that tenant uncertain until then;
 * - everything else that cannot be read makes the whole node uncertain until the horizon has
 *   passed the entry.
 */
import { z } from "zod";
import { epochSchema, identifierSchema } from "../tokens/identifier.js";

/** The version of the entries' format, field `v`. */
export const ENTRY_VERSION = 1;

/** An entry as Redis gives it: its ID and its fields; `undefined` fields for a deleted entry. */
export interface RawEntry {
  readonly id: string;
  readonly fields: Readonly<Record<string, string>> | undefined;
}

/** What is revoked. Times: `issuedBefore` in Unix seconds, everything else in Unix milliseconds. */
export type Revocation =
  | {
      readonly kind: "session_revoked";
      readonly tenant: string;
      readonly session: string;
      readonly user: string | undefined;
    }
  | {
      readonly kind: "user_revoked";
      readonly tenant: string;
      readonly user: string;
      readonly epoch: number | undefined;
      readonly issuedBefore: number | undefined;
    };

/** How an entry came into the log past the session service. Nodes do not care. */
export type EntryOrigin = "break_glass";

export type LogEntry =
  | {
      readonly kind: "revocation";
      readonly id: string;
      readonly seq: number;
      readonly revocation: Revocation;
      readonly atMs: number;
      readonly forgetAtMs: number;
    }
  /** Written when a log is opened, so that a log is never empty. */
  | { readonly kind: "log_opened"; readonly id: string; readonly seq: number }
  | {
      readonly kind: "unreadable";
      readonly id: string;
      /** undefined: unreadable too; the entry is then no step in the order. */
      readonly seq: number | undefined;
      /** The tenant whose revocations are uncertain; undefined: all tenants. */
      readonly scope: { readonly tenant: string; readonly forgetAtMs: number } | undefined;
    };

const wholeNumber = z
  .string()
  .regex(/^(0|[1-9][0-9]{0,15})$/)
  .transform(Number)
  .pipe(z.number().max(Number.MAX_SAFE_INTEGER));
const epochField = wholeNumber.pipe(epochSchema);

const headSchema = z.object({ v: z.literal(String(ENTRY_VERSION)), seq: wholeNumber });

const tenantScopeSchema = z.object({ tenant: identifierSchema, forget_at: wholeNumber });

const timesSchema = z.object({ at: wholeNumber, forget_at: wholeNumber });

const sessionSchema = timesSchema.extend({
  tenant: identifierSchema,
  session: identifierSchema,
  user: identifierSchema.optional(),
});

const userSchema = timesSchema
  .extend({
    tenant: identifierSchema,
    user: identifierSchema,
    epoch: epochField.optional(),
    issued_before: wholeNumber.optional(),
  })
  .refine((fields) => fields.epoch !== undefined || fields.issued_before !== undefined);

/** Never throws: an entry that cannot be read becomes one of kind `unreadable`. */
export function decodeEntry(raw: RawEntry): LogEntry {
  const { id, fields } = raw;
  const head = headSchema.safeParse(fields);
  if (!head.success) return { kind: "unreadable", id, seq: readSeq(fields), scope: undefined };
  const { seq } = head.data;
  switch (fields?.["kind"]) {
    case "log_opened":
      return { kind: "log_opened", id, seq };
    case "session_revoked":
      return decodeSessionRevoked(id, seq, fields);
    case "user_revoked":
      return decodeUserRevoked(id, seq, fields);
    default:
      return unreadable(id, seq, fields);
  }
}

/** The first field of a revocation that nodes could not read; undefined: there is none. */
export function unreadableField(fields: Readonly<Record<string, string>>): string | undefined {
  const schema = fields["kind"] === "session_revoked" ? sessionSchema : userSchema;
  for (const parsed of [headSchema.safeParse(fields), schema.safeParse(fields)]) {
    if (!parsed.success) return String(parsed.error.issues[0]?.path[0] ?? "epoch");
  }
  return undefined;
}

function readSeq(fields: RawEntry["fields"]): number | undefined {
  const seq = wholeNumber.safeParse(fields?.["seq"]);
  return seq.success ? seq.data : undefined;
}

function decodeSessionRevoked(id: string, seq: number, fields: unknown): LogEntry {
  const parsed = sessionSchema.safeParse(fields);
  if (!parsed.success) return unreadable(id, seq, fields);
  const { tenant, session, user, at, forget_at: forgetAtMs } = parsed.data;
  const revocation: Revocation = { kind: "session_revoked", tenant, session, user };
  return { kind: "revocation", id, seq, revocation, atMs: at, forgetAtMs };
}

function decodeUserRevoked(id: string, seq: number, fields: unknown): LogEntry {
  const parsed = userSchema.safeParse(fields);
  if (!parsed.success) return unreadable(id, seq, fields);
  const { tenant, user, epoch, issued_before: issuedBefore, at, forget_at } = parsed.data;
  const revocation: Revocation = { kind: "user_revoked", tenant, user, epoch, issuedBefore };
  return { kind: "revocation", id, seq, revocation, atMs: at, forgetAtMs: forget_at };
}

/** Makes only the tenant uncertain that it names. */
function unreadable(id: string, seq: number, fields: unknown): LogEntry {
  const scope = tenantScopeSchema.safeParse(fields);
  if (!scope.success) return { kind: "unreadable", id, seq, scope: undefined };
  const { tenant, forget_at: forgetAtMs } = scope.data;
  return { kind: "unreadable", id, seq, scope: { tenant, forgetAtMs } };
}

/** The milliseconds in a stream entry's ID (`<ms>-<n>`), or undefined. */
export function entryTimeMs(id: string): number | undefined {
  const match = /^([0-9]{1,16})-[0-9]+$/.exec(id);
  return match?.[1] === undefined ? undefined : Number(match[1]);
}
