/** The keys that the limits count by. */
import { createHash } from "node:crypto";
import { isIPv4, isIPv6 } from "node:net";

/**
 * 22 characters of base64url are 132 bits: finding two accounts with the same key is infeasible.
 */
const KEY_CHARACTERS = 22;

/**
 * The key of an account. Hashed, so that no login appears in Redis, in its dumps or in MONITOR;
 * from a JSON array, so that different pairs of tenant and login never give the same text.
 */
export function accountKey(tenant: string, login: string): string {
  return keyOf(["account", tenant, login]);
}

/** The key of an acting account: by its id, which no other account of the tenant ever has. */
export function actorKey(tenant: string, user: string): string {
  return keyOf(["actor", tenant, user]);
}

/** The key of the network that an address belongs to. */
export function addressKey(address: string): string {
  return keyOf(["address", countedNetwork(address)]);
}

function keyOf(parts: readonly string[]): string {
  const digest = createHash("sha256").update(JSON.stringify(parts)).digest("base64url");
  return digest.slice(0, KEY_CHARACTERS);
}

/**
 * The network counted as one address: an IPv4 address by itself; an IPv6 address with its whole
 * /64, the smallest range that one customer gets and within which a host chooses freely (RFC 4291
 * §2.5.1, RFC 6177). IPv4-mapped IPv6 (`::ffff:192.0.2.1`) counts as the IPv4 address. Anything
 * else counts as it is written.
 */
export function countedNetwork(address: string): string {
  if (isIPv4(address)) return address;
  const [withoutZone = ""] = address.split("%");
  if (!isIPv6(withoutZone)) return address;
  const words = ipv6Words(withoutZone);
  const [high = 0, low = 0] = words.slice(6);
  const isMapped = words.slice(0, 5).every((word) => word === 0) && words[5] === 0xffff;
  if (isMapped) return [high >> 8, high & 0xff, low >> 8, low & 0xff].join(".");
  const network = words.slice(0, 4).map((word) => word.toString(16));
  return `${network.join(":")}::/64`;
}

/** The eight 16-bit words of a valid IPv6 address. */
function ipv6Words(address: string): readonly number[] {
  const [head = "", tail] = address.split("::");
  const before = wordsOf(head);
  if (tail === undefined) return before;
  const after = wordsOf(tail);
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => 0);
  return [...before, ...zeros, ...after];
}

function wordsOf(part: string): readonly number[] {
  if (part === "") return [];
  return part.split(":").flatMap((word) => {
    if (!word.includes(".")) return [parseInt(word, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = word.split(".").map(Number);
    return [a * 256 + b, c * 256 + d];
  });
}
