/**
 * The client's address: the peer's, unless the peer is a trusted proxy. Then it is the last address
 * in `X-Forwarded-For`, and so on from right to left while the address is a trusted proxy's.
 * Entries further left may be forged by the client and are ignored.
 */
import { BlockList, isIP, SocketAddress } from "node:net";

/** A connection over a Unix socket comes from this machine and has no address. */
const UNIX_PEER = "unix";

export interface TrustedProxies {
  has(address: string): boolean;
}

/**
 * @param entries addresses, CIDR ranges, or `unix` for peers on a Unix socket
 * @throws RangeError for anything else
 */
export function trustedProxies(entries: readonly string[]): TrustedProxies {
  const ranges = new BlockList();
  for (const entry of entries) if (entry !== UNIX_PEER) addRange(ranges, entry);
  const trustsUnix = entries.includes(UNIX_PEER);
  return {
    has: (address) => {
      if (address === UNIX_PEER) return trustsUnix;
      const family = familyOf(address);
      return family !== undefined && ranges.check(address, family);
    },
  };
}

export interface Peer {
  /** The socket's; undefined for a Unix socket. */
  readonly address: string | undefined;
  /** `X-Forwarded-For` as received, several headers joined by commas. */
  readonly forwardedFor: string | undefined;
}

export function clientAddress(peer: Peer, trusted: TrustedProxies): string {
  let address = peer.address === undefined ? UNIX_PEER : (normalised(peer.address) ?? UNIX_PEER);
  const forwarded = peer.forwardedFor?.split(",") ?? [];
  while (forwarded.length > 0 && trusted.has(address)) {
    const before = normalised(withoutPort(forwarded.pop()?.trim() ?? ""));
    // Behind an invalid entry nothing is known: the proxy that sent it is the answer.
    if (before === undefined) break;
    address = before;
  }
  return address;
}

/**
 * Some gateways (Azure's) add the source port, `203.0.113.5:54321` or `[2001:db8::1]:443`, which
 * differs for each connection. This removes the port and the brackets.
 */
function withoutPort(text: string): string {
  const [, ipv6, ipv4] = /^(?:\[([^\]]*)\]|([0-9.]+))(?::[0-9]{1,5})?$/.exec(text) ?? [];
  // Only an IPv6 address may be in brackets.
  if (ipv6 !== undefined) return ipv6.includes(":") ? ipv6 : "";
  return ipv4 ?? text;
}

const MAPPED_IPV4 = /^::ffff:([0-9]+\.[0-9]+\.[0-9]+\.[0-9]+)$/;

/** One spelling of each address, so that limits count it once. undefined: not an address. */
function normalised(text: string): string | undefined {
  const address = text.replace(/%.*$/, "");
  const family = familyOf(address);
  if (family === undefined) return undefined;
  const written = new SocketAddress({ address, family }).address;
  return MAPPED_IPV4.exec(written)?.[1] ?? written;
}

function addRange(ranges: BlockList, entry: string): void {
  const [address = "", prefix, ...rest] = entry.split("/");
  const family = familyOf(address);
  if (family === undefined || rest.length > 0) throw notARange(entry);
  if (prefix === undefined) {
    ranges.addAddress(address, family);
    return;
  }
  const bits = Number(prefix);
  const isNumber = /^(0|[1-9][0-9]{0,2})$/.test(prefix);
  if (!isNumber || bits > (family === "ipv4" ? 32 : 128)) throw notARange(entry);
  ranges.addSubnet(address, bits, family);
}

function notARange(entry: string): RangeError {
  return new RangeError(`"${entry}" is neither an address nor a range of addresses`);
}

function familyOf(address: string): "ipv4" | "ipv6" | undefined {
  switch (isIP(address)) {
    case 4:
      return "ipv4";
    case 6:
      return "ipv6";
    default:
      return undefined;
  }
}
