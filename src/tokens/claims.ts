import { z } from "zod";
import { epochSchema, identifierIn, identifierSchema } from "./identifier.js";
import type { AccessToken } from "./access-token.js";
import type { Issuer } from "./issuer.js";
import { type JsonObject, ownMember } from "../runtime/json-members.js";

/** The most audiences that one token may name. */
export const AUDIENCES_MAX = 64;

/** The most scopes that one token may carry: a cached token holds them one by one. */
export const SCOPES_MAX = 256;

/** The last second of the year 9999: a later time is a mistake of units (milliseconds). */
export const NUMERIC_DATE_MAX = 253_402_300_799;

/** RFC 7519, section 2: seconds since the Unix epoch, fractions allowed. */
const numericDateSchema = z.number().min(0).max(NUMERIC_DATE_MAX);

const audienceSchema = z.string().min(1);

/** The claims under our own names; the issuer's `claims` gives their names in the token. */
const claimsSchema = z.object({
  iss: z.string(),
  // RFC 7519, section 4.1.3: an array, or one string on its own.
  aud: z.union([
    audienceSchema.transform((one) => [one]),
    z.array(audienceSchema).min(1).max(AUDIENCES_MAX),
  ]),
  sub: z.string(),
  exp: numericDateSchema,
  iat: numericDateSchema,
  nbf: numericDateSchema.optional(),
  jti: z.string().optional(),
  // RFC 8693, section 4.2 by way of RFC 9068, section 2.2.3: one string, separated by spaces. An
  // array is refused rather than guessed at.
  scope: z.string().optional(),
  tenant: identifierSchema,
  user: identifierSchema,
  session: identifierSchema,
  epoch: epochSchema,
  // What is no identifier cannot be named by a revocation, and is not needed for anything else.
  client_id: z.unknown(),
  azp: z.unknown(),
});

/** Who signed what; the claims do not say it. */
export type VerifiedSignature = Pick<AccessToken, "signedDigest" | "keyThumbprint">;

/**
 * Reads the payload of a token of this issuer into an `AccessToken`; undefined where a claim is
 * missing or malformed. Unknown claims are allowed (RFC 7519, section 4). Does not check times,
 * audience or tenant: those depend on the moment and the configuration, and belong to the decision.
 */
export function readClaims(
  payload: JsonObject,
  issuer: Issuer,
  signature: VerifiedSignature,
): AccessToken | undefined {
  const names = issuer.claims;
  const parsed = claimsSchema.safeParse({
    iss: ownMember(payload, "iss"),
    aud: ownMember(payload, "aud"),
    sub: ownMember(payload, "sub"),
    exp: ownMember(payload, "exp"),
    iat: ownMember(payload, "iat"),
    nbf: ownMember(payload, "nbf"),
    jti: ownMember(payload, "jti"),
    scope: ownMember(payload, "scope"),
    tenant: ownMember(payload, names.tenant),
    user: ownMember(payload, names.user),
    session: ownMember(payload, names.session),
    epoch: names.epoch === null ? 0 : ownMember(payload, names.epoch),
    client_id: ownMember(payload, "client_id"),
    azp: ownMember(payload, "azp"),
  });
  if (!parsed.success) return undefined;
  const claims = parsed.data;
  if (claims.iss !== issuer.issuer) return undefined;
  // If the two differed, the token would be one user here and another one in the API behind us.
  if (claims.sub !== claims.user) return undefined;
  const scopes = new Set(claims.scope?.split(" ").filter((scope) => scope !== ""));
  if (scopes.size > SCOPES_MAX) return undefined;
  return {
    issuer: claims.iss,
    audience: claims.aud,
    tenant: claims.tenant,
    user: claims.user,
    session: claims.session,
    epoch: claims.epoch,
    issuedAt: claims.iat,
    expiresAt: claims.exp,
    notBefore: claims.nbf,
    scopes,
    jti: identifierIn(claims.jti),
    client: identifierIn(claims.client_id) ?? identifierIn(claims.azp),
    signedDigest: signature.signedDigest,
    keyThumbprint: signature.keyThumbprint,
  };
}
