import { decodeBase64url } from "./base64url.js";
import { type JsonObject, ownMember, parseJsonObject } from "../runtime/json-members.js";

/**
 * The largest token that is parsed, in bytes. Envoy's own limit for all request headers is 60 KiB,
 * and a larger token would only cost us more time per request.
 */
export const TOKEN_MAX_BYTES = 8 * 1024;

/**
 * Header parameters with which a token would choose its own key or change what its signature
 * covers (RFC 7515, sections 4.1.2–4.1.6 and 4.1.11; RFC 7797; `zip` is RFC 7516). Nothing here
 * understands them, so a token that has one is refused instead of read without it.
 */
const REFUSED_HEADER_PARAMETERS = ["crit", "jku", "jwk", "x5u", "x5c", "zip", "b64"] as const;

/** A well-formed token. Nothing in it is verified. */
export interface CompactJws {
  readonly algorithm: string;
  /** undefined where the header has no `kid` or an empty one: no key matches then. */
  readonly kid: string | undefined;
  readonly typ: string | undefined;
  readonly claims: JsonObject;
  /** False for an empty signature part, well-formed only for `alg: none` (RFC 7515, A.5). */
  readonly signed: boolean;
}

/**
 * Reads a compact JWS (RFC 7515, section 7.1): rule 4 of the decision, all that can be checked
 * without a key.
 *
 * Well-formed does not include an allowed algorithm, a `kid` or a non-empty signature, because each
 * of those has its own reason for a denial: an unsecured token (`alg: none`, RFC 7519, section 6) is
 * well-formed, but its algorithm is forbidden. The caller checks them. A `kid` or `typ` that is not a
 * string is malformed (RFC 7515, sections 4.1.4 and 4.1.9).
 *
 * @returns undefined where it is malformed, which includes a JWE's five parts.
 */
export function parseCompactJws(raw: string): CompactJws | undefined {
  // A character outside ASCII fails below, so code units are bytes here.
  if (raw.length > TOKEN_MAX_BYTES) return undefined;
  // A fourth part is enough to know that there are too many.
  const [headerPart, payloadPart, signaturePart, ...excess] = raw.split(".", 4);
  if (headerPart === undefined || payloadPart === undefined) return undefined;
  if (signaturePart === undefined || excess.length > 0) return undefined;
  if (decodeBase64url(signaturePart) === undefined) return undefined;
  const header = parseJsonPart(headerPart);
  if (header === undefined) return undefined;
  const claims = parseJsonPart(payloadPart);
  if (claims === undefined) return undefined;
  if (REFUSED_HEADER_PARAMETERS.some((name) => Object.hasOwn(header, name))) return undefined;
  const algorithm = ownMember(header, "alg");
  if (typeof algorithm !== "string") return undefined;
  const kid = ownMember(header, "kid");
  if (!isStringOrAbsent(kid)) return undefined;
  const typ = ownMember(header, "typ");
  if (!isStringOrAbsent(typ)) return undefined;
  const signed = signaturePart !== "";
  return { algorithm, kid: kid === "" ? undefined : kid, typ, claims, signed };
}

/**
 * Fatal, because with replacement characters two byte strings would be one id; keeps the byte order
 * mark, so that JSON.parse refuses it (RFC 8259, section 8.1).
 */
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function parseJsonPart(part: string): JsonObject | undefined {
  const bytes = decodeBase64url(part);
  if (bytes === undefined) return undefined;
  try {
    return parseJsonObject(utf8.decode(bytes));
  } catch {
    return undefined;
  }
}

function isStringOrAbsent(value: unknown): value is string | undefined {
  return value === undefined || typeof value === "string";
}
