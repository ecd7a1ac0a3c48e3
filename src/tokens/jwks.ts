import { createHash } from "node:crypto";
import type { Algorithm } from "./algorithms.js";
import { isJsonObject, ownMember } from "../runtime/json-members.js";
import { readJsonWebKey, type VerificationKey } from "./json-web-key.js";

/** The most keys that one set may have; rotation needs two or three. */
export const KEYS_MAX = 64;

/** How many unusable keys a message names, and how much of a `kid` it quotes. */
const UNUSABLE_NAMED_MAX = 4;
const KID_QUOTED_MAX = 40;

/** An issuer's usable keys: at least one, each under its own `kid`. */
export interface KeySet {
  readonly keys: ReadonlyMap<string, VerificationKey>;
  /** Equal exactly where the usable keys are equal, whatever their order or other members. */
  readonly fingerprint: string;
}

export type ParsedKeySet =
  | {
      readonly usable: true;
      readonly keySet: KeySet;
      /** The keys that were skipped, and why, in one line. */
      readonly warning: string | undefined;
    }
  | { readonly usable: false; readonly problem: string };

/**
 * Reads a JWK Set (RFC 7517, section 5). A key that is not for us, or not usable, is skipped as that
 * section says and mentioned in `warning`. The whole set is refused where no usable key is left, and
 * where two usable keys share a `kid`: which of them a token means would be a guess.
 */
export async function parseKeySet(
  json: unknown,
  allowed: readonly Algorithm[],
): Promise<ParsedKeySet> {
  const list = isJsonObject(json) ? ownMember(json, "keys") : undefined;
  if (!Array.isArray(list)) return refused('is not a JWK Set: it has no list "keys"');
  if (list.length > KEYS_MAX) return refused(`has ${list.length} keys, more than ${KEYS_MAX}`);
  const keys = new Map<string, VerificationKey>();
  const unusable: string[] = [];
  for (const [index, jwk] of list.entries()) {
    const read = await readKey(jwk, allowed);
    if (!read.usable) {
      unusable.push(`${nameOf(jwk, index)}: ${read.why}`);
    } else if (keys.has(read.key.kid)) {
      return refused(`is ambiguous: two usable keys have the kid ${quoted(read.key.kid)}`);
    } else {
      keys.set(read.key.kid, read.key);
    }
  }
  if (keys.size === 0) {
    return refused(`has no usable key: ${list.length === 0 ? "it is empty" : summary(unusable)}`);
  }
  const warning = unusable.length === 0 ? undefined : `skipped ${summary(unusable)}`;
  return { usable: true, keySet: { keys, fingerprint: fingerprintOf(keys) }, warning };
}

async function readKey(jwk: unknown, allowed: readonly Algorithm[]) {
  if (!isJsonObject(jwk)) return { usable: false, why: "it is not an object" } as const;
  return readJsonWebKey(jwk, allowed);
}

function fingerprintOf(keys: ReadonlyMap<string, VerificationKey>): string {
  const contents = Array.from(keys.values(), (key) => key.content).sort();
  return createHash("sha256").update(JSON.stringify(contents)).digest("base64url");
}

function nameOf(jwk: unknown, index: number): string {
  const kid = isJsonObject(jwk) ? ownMember(jwk, "kid") : undefined;
  return typeof kid === "string" ? `key ${quoted(kid)}` : `key number ${index + 1}`;
}

/** Escaped, so that a `kid` cannot add lines to a log, and shortened. */
function quoted(kid: string): string {
  return JSON.stringify(kid.length > KID_QUOTED_MAX ? `${kid.slice(0, KID_QUOTED_MAX)}…` : kid);
}

function summary(unusable: readonly string[]): string {
  const named = unusable.slice(0, UNUSABLE_NAMED_MAX);
  const rest = unusable.length - named.length;
  return rest > 0 ? `${named.join("; ")}; and ${rest} more` : named.join("; ");
}

function refused(problem: string): ParsedKeySet {
  return { usable: false, problem };
}
