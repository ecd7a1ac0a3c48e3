import { createHash, type KeyObject } from "node:crypto";
import { z } from "zod";
import { ALGORITHMS, type Algorithm } from "../../tokens/algorithms.js";

/** The key itself (RFC 7518, section 6; RFC 8037, section 2), public members only. */
const materialSchema = z.discriminatedUnion("kty", [
  z.object({ kty: z.literal("EC"), crv: z.literal("P-256"), x: z.string(), y: z.string() }),
  z.object({ kty: z.literal("RSA"), n: z.string(), e: z.string() }),
  z.object({ kty: z.literal("OKP"), crv: z.literal("Ed25519"), x: z.string() }),
]);

const purposeSchema = z.object({
  kid: z.string().min(1),
  alg: z.enum(ALGORITHMS),
  use: z.literal("sig"),
});

/** A public key as it is published (RFC 7517, section 4). Other members are dropped. */
export const publicJwkSchema = z.intersection(purposeSchema, materialSchema);
export type PublicJwk = Readonly<z.infer<typeof publicJwkSchema>>;

/**
 * The public half of a key as a JWK whose `kid` is its thumbprint (RFC 7638). So a `kid` belongs to
 * one key for ever, and a stored key can be checked against its row.
 *
 * @param key must have been read from PEM or the like, not taken from `generateKeyPair` itself
 */
export function publicJwkOf(key: KeyObject, algorithm: Algorithm): PublicJwk {
  const material = materialSchema.parse(key.export({ format: "jwk" }));
  return { kid: thumbprintOf(material), alg: algorithm, use: "sig", ...material };
}

/**
 * RFC 7638, section 3: the required members, which `material` consists of, in alphabetical order.
 */
export function thumbprintOf(material: Readonly<Record<string, string>>): string {
  const ordered = Object.entries(material).sort(([a], [b]) => (a < b ? -1 : 1));
  const text = JSON.stringify(Object.fromEntries(ordered));
  return createHash("sha256").update(text, "utf8").digest("base64url");
}
