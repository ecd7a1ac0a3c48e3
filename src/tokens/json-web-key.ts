import { calculateJwkThumbprint, type CryptoKey, importJWK, type JWK } from "jose";
import { z } from "zod";
import { KIND_OF_KEY, type Algorithm } from "./algorithms.js";
import { type JsonObject, ownMember } from "../runtime/json-members.js";

/** RFC 7518, sections 3.3 and 3.5: a key of 2048 bits or larger must be used. */
export const RSA_MODULUS_MIN_BITS = 2048;
/** Beyond this one verification takes milliseconds, which any client's tokens could make us spend. */
export const RSA_MODULUS_MAX_BITS = 8192;
/** The same for the exponent; 65537 is the usual one. */
const RSA_EXPONENT_MAX = 2 ** 32 - 1;

/** Members that only a private or symmetric key has (RFC 7518, sections 6.2.2, 6.3.2, 6.4.1). */
const SECRET_MEMBERS = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] as const;

/** A public key that may verify tokens. */
export interface VerificationKey {
  readonly kid: string;
  /** One per usable algorithm, because WebCrypto binds a key to one. Never empty. */
  readonly byAlgorithm: ReadonlyMap<Algorithm, CryptoKey>;
  /** The public members alone, in fixed order: equal for equal keys. */
  readonly content: string;
  /** RFC 7638, with SHA-256, in base64url. */
  readonly thumbprint: string;
}

export type ReadKey =
  | { readonly usable: true; readonly key: VerificationKey }
  | { readonly usable: false; readonly why: string };

/** The members that decide whether a key is for us (RFC 7517, section 4). Others are ignored. */
const parametersSchema = z.object({
  kid: z.string({ error: "it has no kid" }).min(1, { error: "its kid is empty" }),
  kty: z.string({ error: "it has no kty" }),
  use: z.literal("sig", { error: 'its use is not "sig"' }).optional(),
  key_ops: z
    .array(z.string(), { error: "its key_ops is not a list of strings" })
    .refine((operations) => operations.includes("verify"), {
      error: 'its key_ops does not contain "verify"',
    })
    .optional(),
  alg: z.string({ error: "its alg is not a string" }).optional(),
  crv: z.string({ error: "its crv is not a string" }).optional(),
});
type Parameters = z.infer<typeof parametersSchema>;

const text = z.string({ error: "a member of the key itself is missing" });
const materialSchemas = {
  EC: z.object({ crv: text, x: text, y: text }),
  OKP: z.object({ crv: text, x: text }),
  RSA: z.object({ n: text, e: text }),
} as const;

/**
 * Reads one JWK (RFC 7517, section 4) as a key for those of the issuer's algorithms that it fits.
 * A private or symmetric key is not usable even though its public half would do: every reader of the
 * set could sign with it.
 */
export async function readJsonWebKey(
  jwk: JsonObject,
  allowed: readonly Algorithm[],
): Promise<ReadKey> {
  if (ownMember(jwk, "kty") === "oct") return unusable("it is symmetric");
  if (SECRET_MEMBERS.some((name) => Object.hasOwn(jwk, name))) {
    return unusable("it contains the private key, which must be replaced");
  }
  const parsed = parametersSchema.safeParse(jwk);
  if (!parsed.success) return unusable(parsed.error.issues[0]?.message ?? "it is not a JWK");
  const algorithms = fittingAlgorithms(parsed.data, allowed);
  const [first] = algorithms;
  if (first === undefined) return unusable(`it fits no allowed algorithm (${allowed.join(", ")})`);
  const { kty } = KIND_OF_KEY[first];
  const material = materialSchemas[kty].safeParse(jwk);
  if (!material.success) return unusable(material.error.issues[0]?.message ?? "it is not a JWK");
  const publicJwk: JWK = { kty, ...material.data };
  const byAlgorithm = new Map<Algorithm, CryptoKey>();
  for (const algorithm of algorithms) {
    const key = await importPublicKey(publicJwk, algorithm);
    if (key === undefined) return unusable("its members are not a public key");
    const weakness = kty === "RSA" ? weaknessOfRsa(key) : undefined;
    if (weakness !== undefined) return unusable(weakness);
    byAlgorithm.set(algorithm, key);
  }
  const { kid } = parsed.data;
  const content = JSON.stringify([kid, algorithms, Object.entries(publicJwk)]);
  const thumbprint = await calculateJwkThumbprint(publicJwk);
  return { usable: true, key: { kid, byAlgorithm, content, thumbprint } };
}

/** In the issuer's order, so that equal configuration and key give equal content. */
function fittingAlgorithms(key: Parameters, allowed: readonly Algorithm[]): Algorithm[] {
  return allowed.filter((algorithm) => {
    const kind = KIND_OF_KEY[algorithm];
    if (key.kty !== kind.kty) return false;
    if (kind.crv !== undefined && key.crv !== kind.crv) return false;
    return key.alg === undefined || key.alg === algorithm;
  });
}

/**
 * Only the public members are imported, so that `ext`, `key_ops` and the like do not affect what the
 * imported key may do.
 */
async function importPublicKey(jwk: JWK, algorithm: Algorithm): Promise<CryptoKey | undefined> {
  try {
    const key = await importJWK(jwk, algorithm);
    return "type" in key && key.type === "public" ? key : undefined;
  } catch {
    return undefined;
  }
}

const rsaSchema = z.object({
  modulusLength: z.number(),
  publicExponent: z.custom<Uint8Array>(isBytes),
});

/** Why an RSA key is too weak, or too costly, to trust a signature by it. */
function weaknessOfRsa(key: CryptoKey): string | undefined {
  const rsa = rsaSchema.safeParse(key.algorithm);
  if (!rsa.success) return "its size is not known";
  const { modulusLength, publicExponent } = rsa.data;
  if (modulusLength < RSA_MODULUS_MIN_BITS) {
    return `its ${modulusLength} bits are fewer than ${RSA_MODULUS_MIN_BITS}`;
  }
  if (modulusLength > RSA_MODULUS_MAX_BITS) {
    return `its ${modulusLength} bits are more than ${RSA_MODULUS_MAX_BITS}`;
  }
  const exponent = publicExponent.reduce((value, byte) => value * 256 + byte, 0);
  // With an exponent of 1 every text is its own signature; an even one has no inverse.
  if (exponent < 3 || exponent % 2 === 0 || exponent > RSA_EXPONENT_MAX) {
    return "its exponent is not an odd number from 3 to 2^32-1";
  }
  return undefined;
}

/** By its tag, because a typed array may come from another realm. */
function isBytes(value: unknown): value is Uint8Array {
  return Object.prototype.toString.call(value) === "[object Uint8Array]";
}

function unusable(why: string): ReadKey {
  return { usable: false, why };
}
