/** The signature algorithms that can be allowed (RFC 7518, RFC 8037): never `none`, never HMAC. */
export const ALGORITHMS = ["ES256", "RS256", "PS256", "EdDSA"] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

/** Which kind of key an algorithm takes (RFC 7518, section 3.1; RFC 8037, section 3.1). */
export const KIND_OF_KEY = {
  ES256: { kty: "EC", crv: "P-256" },
  RS256: { kty: "RSA", crv: undefined },
  PS256: { kty: "RSA", crv: undefined },
  EdDSA: { kty: "OKP", crv: "Ed25519" },
} as const satisfies Record<Algorithm, { kty: "EC" | "RSA" | "OKP"; crv: string | undefined }>;
