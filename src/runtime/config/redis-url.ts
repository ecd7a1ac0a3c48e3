/**
 * The URL of Redis in its three forms: one server, a master that Sentinels know, a Redis Cluster. The
 * last two name several servers, which no standard URL does.
 */
import { faultOfParts, formFault, OTHER_FORM, parsed, type UrlFault } from "./connection-url.js";

/** A host's name or address, without brackets. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export interface RedisAddress {
  readonly kind: "server" | "sentinel" | "cluster";
  /** The one server, the Sentinels, or some of the cluster's servers; at least one. */
  readonly hosts: readonly [HostPort, ...HostPort[]];
  /** By which the Sentinels know the master; "" for the other kinds. */
  readonly masterName: string;
  /** Of the servers that hold data. */
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly tls: boolean;
}

export const REDIS_URL_FORMS =
  "redis://[name:password@]host[:port], redis+sentinel://[name:password@]host[:port],…/master-name or " +
  "redis+cluster://[name:password@]host[:port],…; rediss:// and so on for TLS; always database 0";

const FORM = /^redis(s?)(?:\+(sentinel|cluster))?:\/\/(.*)$/is;
const HOSTS_MAX = 32;
const CREDENTIALS_ONCE =
  "name and password belong before the first server, once for all (a comma in the name is %2C)";
const PORTS = { server: 6379, sentinel: 26_379, cluster: 6379 };

/**
 * Databases other than 0 are refused: Redis Cluster has none, and a SELECT that fails would leave a
 * publisher in another log than its nodes. So are options after `?`, which would change the client.
 */
export function faultOfRedisUrl(text: string): UrlFault | undefined {
  const form = FORM.exec(text);
  if (form === null) return OTHER_FORM;
  const kind = kindOf(form[2]);
  if (kind === "server") return faultOfServer(text);
  const { credentials, hosts, path } = split(form[3] ?? "");
  // Otherwise `h1,name:password@h2` would be the user "h1,name" at one host.
  if (/^[^:@]*,/.test(credentials)) return { detail: CREDENTIALS_ONCE };
  if (hosts.length > HOSTS_MAX) return { detail: `it names more than ${HOSTS_MAX} servers` };
  for (const host of hosts) {
    const fault = faultOfServer(`redis://${credentials}${host}`);
    if (fault !== undefined) return fault;
  }
  if (kind === "cluster") return /^\/?0?$/.test(path) ? undefined : formFault(text);
  return /^\/[\w.-]{1,100}$/.test(path)
    ? undefined
    : { detail: "the name of the master is missing after the Sentinels: …/mymaster" };
}

function faultOfServer(text: string): UrlFault | undefined {
  const url = parsed(text);
  if (url === undefined || url.hostname === "") return formFault(text);
  const plain = ["", "/", "/0"].includes(url.pathname) && url.search === "" && url.hash === "";
  return plain ? faultOfParts(text, url) : formFault(text);
}

/** @param text one without a fault */
export function parseRedisUrl(text: string): RedisAddress {
  const [, tls, kindName, rest = ""] = FORM.exec(text) ?? [];
  const kind = kindOf(kindName);
  const { credentials, hosts, path } = split(rest);
  const toHostPort = (host: string | undefined): HostPort => {
    const { hostname, port } = new URL(`redis://${host ?? ""}`);
    return {
      host: hostname.replace(/^\[|\]$/g, ""),
      port: port === "" ? PORTS[kind] : Number(port),
    };
  };
  const [first, ...others] = hosts;
  const { username, password } = new URL(`redis://${credentials}${first ?? ""}`);
  return {
    kind,
    hosts: [toHostPort(first), ...others.map(toHostPort)],
    masterName: kind === "sentinel" ? path.slice(1) : "",
    user: username === "" ? undefined : decodeURIComponent(username),
    password: password === "" ? undefined : decodeURIComponent(password),
    tls: tls !== "",
  };
}

/** @param text one without a fault */
export function redisUrlHasPassword(text: string): boolean {
  return parseRedisUrl(text).password !== undefined;
}

/** @param text one without a fault and without a password */
export function redisUrlWithPassword(text: string, password: string): string {
  const [, scheme = "", credentials = "", rest = ""] =
    /^([^/]*:\/\/)([^/?#]*@)?(.*)$/s.exec(text) ?? [];
  const user = credentials.replace(/:?@$/, "");
  return `${scheme}${user}:${encodeURIComponent(password)}@${rest}`;
}

function kindOf(name: string | undefined): RedisAddress["kind"] {
  const lower = name?.toLowerCase();
  return lower === "sentinel" || lower === "cluster" ? lower : "server";
}

/** What follows the scheme; `credentials` with the `@`, `path` with the `/`. */
function split(rest: string): {
  readonly credentials: string;
  readonly hosts: readonly string[];
  readonly path: string;
} {
  const [, credentials = "", hosts = "", path = ""] =
    /^((?:[^/?#]*@)?)([^/?#]*)(.*)$/s.exec(rest) ?? [];
  return { credentials, hosts: hosts.split(","), path };
}
