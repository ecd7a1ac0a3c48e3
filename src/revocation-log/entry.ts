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
import {
  epochSchema,
  identifierSchema,
  issuerNameSchema,
  sha256Schema,
} from "../tokens/identifier.js";

/** The version of the entries' first format, field `v`; `packed-entry.ts` has the second. */
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
    }
  /** One token, by either name: publisher and node need not agree on which claim is its `jti`. */
  | {
      readonly kind: "token_revoked";
      readonly tenant: string;
      readonly issuer: string;
      readonly jti: string | undefined;
      /** SHA-256 of `header.payload`, in base64url. */
      readonly signedDigest: string | undefined;
    }
  /** The tokens of one OAuth client; `tenant` undefined: in all tenants. */
  | {
      readonly kind: "client_revoked";
      readonly tenant: string | undefined;
      readonly client: string;
      readonly issuedBefore: number;
    }
  /** Whatever this key has signed or will sign, by its RFC 7638 thumbprint. */
  | { readonly kind: "key_revoked"; readonly issuer: string; readonly thumbprint: string }
  | { readonly kind: "tenant_revoked"; readonly tenant: string; readonly issuedBefore: number }
  | { readonly kind: "all_revoked"; readonly issuedBefore: number };

export type RevocationKind = Revocation["kind"];

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

/** The fields that name what each kind revokes. */
const SCHEMAS: Readonly<Record<RevocationKind, z.ZodType<Revocation>>> = {
  session_revoked: z
    .object({
      tenant: identifierSchema,
      session: identifierSchema,
      user: identifierSchema.optional(),
    })
    .transform(({ tenant, session, user }) => ({ kind: "session_revoked", tenant, session, user })),
  user_revoked: z
    .object({
      tenant: identifierSchema,
      user: identifierSchema,
      epoch: epochField.optional(),
      issued_before: wholeNumber.optional(),
    })
    .refine((fields) => fields.epoch !== undefined || fields.issued_before !== undefined, {
      path: ["epoch"],
    })
    .transform(({ tenant, user, epoch, issued_before: issuedBefore }) => ({
      kind: "user_revoked",
      tenant,
      user,
      epoch,
      issuedBefore,
    })),
  token_revoked: z
    .object({
      tenant: identifierSchema,
      issuer: issuerNameSchema,
      jti: identifierSchema.optional(),
      signed_digest: sha256Schema.optional(),
    })
    .refine((fields) => fields.jti !== undefined || fields.signed_digest !== undefined, {
      path: ["jti"],
    })
    .transform(({ tenant, issuer, jti, signed_digest: signedDigest }) => ({
      kind: "token_revoked",
      tenant,
      issuer,
      jti,
      signedDigest,
    })),
  client_revoked: z
    .object({
      tenant: identifierSchema.optional(),
      client: identifierSchema,
      issued_before: wholeNumber,
    })
    .transform(({ tenant, client, issued_before: issuedBefore }) => ({
      kind: "client_revoked",
      tenant,
      client,
      issuedBefore,
    })),
  key_revoked: z
    .object({ issuer: issuerNameSchema, thumbprint: sha256Schema })
    .transform(({ issuer, thumbprint }) => ({ kind: "key_revoked", issuer, thumbprint })),
  tenant_revoked: z
    .object({ tenant: identifierSchema, issued_before: wholeNumber })
    .transform(({ tenant, issued_before: issuedBefore }) => ({
      kind: "tenant_revoked",
      tenant,
      issuedBefore,
    })),
  all_revoked: z
    .object({ issued_before: wholeNumber })
    .transform(({ issued_before: issuedBefore }) => ({ kind: "all_revoked", issuedBefore })),
};

/** What this version reads, and what a node's row says that it reads. */
export const REVOCATION_KINDS: readonly string[] = Object.keys(SCHEMAS);

const schemas = new Map<string | undefined, z.ZodType<Revocation>>(Object.entries(SCHEMAS));

/** Never throws: an entry that cannot be read becomes one of kind `unreadable`. */
export function decodeFields(raw: RawEntry): LogEntry {
  const { id, fields } = raw;
  const head = headSchema.safeParse(fields);
  if (!head.success) return { kind: "unreadable", id, seq: readSeq(fields), scope: undefined };
  const { seq } = head.data;
  const kind = fields?.["kind"];
  if (kind === "log_opened") return { kind, id, seq };
  const times = timesSchema.safeParse(fields);
  const revocation = readRevocation(fields);
  if (!times.success || revocation === undefined) return unreadable(id, seq, fields);
  const { at: atMs, forget_at: forgetAtMs } = times.data;
  return { kind: "revocation", id, seq, revocation, atMs, forgetAtMs };
}

/** What the fields of an entry revoke; undefined: they do not say. */
export function readRevocation(fields: RawEntry["fields"]): Revocation | undefined {
  return schemas.get(fields?.["kind"])?.safeParse(fields).data;
}

/** The first field of a revocation that nodes could not read; undefined: there is none. */
export function unreadableField(fields: Readonly<Record<string, string>>): string | undefined {
  const schema = schemas.get(fields["kind"]);
  if (schema === undefined) return "kind";
  const faults = [headSchema, timesSchema, schema].flatMap(
    (one) => one.safeParse(fields).error?.issues ?? [],
  );
  return faults[0] === undefined ? undefined : String(faults[0].path[0] ?? "kind");
}

function readSeq(fields: RawEntry["fields"]): number | undefined {
  const seq = wholeNumber.safeParse(fields?.["seq"]);
  return seq.success ? seq.data : undefined;
}

/** Makes only the tenant uncertain that it names. */
function unreadable(id: string, seq: number, fields: unknown): LogEntry {
  const scope = tenantScopeSchema.safeParse(fields);
  if (!scope.success) return { kind: "unreadable", id, seq, scope: undefined };
  const { tenant, forget_at: forgetAtMs } = scope.data;
  return { kind: "unreadable", id, seq, scope: { tenant, forgetAtMs } };
}

/** The one tenant that it concerns; undefined: it is not bound to one. */
export function tenantOf(revocation: Revocation): string | undefined {
  return "tenant" in revocation ? revocation.tenant : undefined;
}

/** The user whose tokens alone it concerns, as far as it names one. */
export function userOf(revocation: Revocation): string | undefined {
  return "user" in revocation ? revocation.user : undefined;
}

/** Unix seconds: the tokens issued before then are revoked; undefined: not by a cut-off. */
export function cutOffOf(revocation: Revocation): number | undefined {
  return "issuedBefore" in revocation ? revocation.issuedBefore : undefined;
}

/** The milliseconds in a stream entry's ID (`<ms>-<n>`), or undefined. */
export function entryTimeMs(id: string): number | undefined {
  const match = /^([0-9]{1,16})-[0-9]+$/.exec(id);
  return match?.[1] === undefined ? undefined : Number(match[1]);
}
