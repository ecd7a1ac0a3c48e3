import { z } from "zod";

/** The longest tenant, user or session id, in code points. */
export const IDENTIFIER_MAX_CODE_POINTS = 256;

const CONTROL_CHARACTER = /\p{Cc}/u;

/**
 * Whether a text may be a tenant, user or session id: well-formed Unicode of 1 to 256 code points
 * without control characters. Ids are compared byte for byte and never normalised, so two texts
 * that only look alike are two ids.
 */
export function isIdentifier(text: string): boolean {
  // A code point takes at most 2 code units: longer texts need no counting.
  if (text.length === 0 || text.length > 2 * IDENTIFIER_MAX_CODE_POINTS) return false;
  if (!text.isWellFormed() || CONTROL_CHARACTER.test(text)) return false;
  if (text.length <= IDENTIFIER_MAX_CODE_POINTS) return true;
  return Array.from(text).length <= IDENTIFIER_MAX_CODE_POINTS;
}

/** A claim's value, where it is an identifier. */
export function identifierIn(claim: unknown): string | undefined {
  return typeof claim === "string" && isIdentifier(claim) ? claim : undefined;
}

export const identifierSchema = z.string().refine(isIdentifier, {
  error: "must be 1 to 256 characters of well-formed Unicode without control characters",
});

/** An issuer's name is a URL as a rule: longer than an id, and with the same characters. */
export const issuerNameSchema = z
  .string()
  .min(1)
  .max(2048)
  .refine((text) => text.isWellFormed() && !CONTROL_CHARACTER.test(text), {
    error: "must be well-formed Unicode without control characters",
  });

export function isIssuerName(text: string): boolean {
  return issuerNameSchema.safeParse(text).success;
}

/** SHA-256 in base64url: the digest of what a token's signature covers, or a key's RFC 7638 thumbprint. */
export const sha256Schema = z
  .string()
  .regex(/^[A-Za-z0-9_-]{43}$/, { error: "must be SHA-256 in base64url" });

/**
 * The greatest epoch that a revocation may set: as many again are left for the service to raise it.
 * Readers accept greater ones.
 */
export const NAMED_EPOCH_MAX = 2 ** 52;

/** A user epoch: 0 … 2^53−1. */
export const epochSchema = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
