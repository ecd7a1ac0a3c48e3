/**
 * Clients of ioredis for each form of SEKISHO_REDIS_URL: one server, the master that Sentinels name,
 * or servers of a Redis Cluster.
 */
import { readFileSync } from "node:fs";
import type { ConnectionOptions } from "node:tls";
import { Cluster, Redis, type ClusterOptions, type RedisOptions } from "ioredis";
import type { RedisSettings, TlsFiles } from "../runtime/config/redis-settings.js";
import { parseRedisUrl, type HostPort, type RedisAddress } from "../runtime/config/redis-url.js";

/** Replies are of the one form that ioredis has without `replyMapping`. */
type ClientOptions = Omit<RedisOptions, "replyMapping" | "host" | "port" | "path" | "sentinels">;

/** For a Sentinel's answer: the next one is asked after that. */
const SENTINEL_TIMEOUT_MS = 500;

/**
 * A client of the one server, or of the master that a Sentinel names at each connection. It does not
 * hear of a switch to another master: a demoted one refuses writes and closes its connections.
 */
export function redisClient(settings: RedisSettings, options: ClientOptions): Redis {
  const address = parseRedisUrl(settings.url);
  if (address.kind !== "sentinel") return serverClient(address.hosts[0], settings, options);
  const { tlsFiles, sentinel } = settings;
  const sentinelTls = sentinel?.tls === true ? { sentinelTLS: tlsOptions(tlsFiles) } : {};
  return new Redis({
    ...options,
    ...loginAndTls(address, tlsFiles),
    enableTLSForSentinelMode: address.tls,
    ...sentinelTls,
    sentinels: shuffled(address.hosts),
    name: address.masterName,
    role: "master",
    sentinelUsername: sentinel?.user,
    sentinelPassword: sentinel?.password,
    sentinelCommandTimeout: SENTINEL_TIMEOUT_MS,
    sentinelRetryStrategy: () => null,
    updateSentinels: false,
  });
}

/** A client of one Sentinel, with the Sentinels' own credentials and TLS. */
export function sentinelClient(
  { host, port }: HostPort,
  { sentinel, tlsFiles }: RedisSettings,
  options: ClientOptions,
): Redis {
  const login = { username: sentinel?.user, password: sentinel?.password };
  const tls = sentinel?.tls === true ? { tls: tlsOptions(tlsFiles) } : {};
  return new Redis({ ...options, ...login, ...tls, host, port });
}

/** A client of this server, whatever it is. */
export function serverClient(
  { host, port }: HostPort,
  { url, tlsFiles }: RedisSettings,
  options: ClientOptions,
): Redis {
  return new Redis({ ...options, ...loginAndTls(parseRedisUrl(url), tlsFiles), host, port });
}

/** A client that sends each command to the server of its key. */
export function clusterClient(
  { url, tlsFiles }: RedisSettings,
  redisOptions: ClientOptions,
  options: ClusterOptions,
): Cluster {
  const address = parseRedisUrl(url);
  return new Cluster([...address.hosts], {
    ...options,
    redisOptions: { ...redisOptions, ...loginAndTls(address, tlsFiles) },
    // Certificates are for names.
    dnsLookup: (name, callback) => callback(null, name),
  });
}

function loginAndTls(address: RedisAddress, tlsFiles: TlsFiles | undefined): ClientOptions {
  const login = { username: address.user, password: address.password };
  return address.tls ? { ...login, tls: tlsOptions(tlsFiles) } : login;
}

/** ioredis copies the members for each connection, which reads the files again. */
function tlsOptions(files: TlsFiles | undefined): ConnectionOptions {
  const read = (path: string | undefined) => (path === undefined ? undefined : readFileSync(path));
  return {
    get ca() {
      return read(files?.ca);
    },
    get cert() {
      return read(files?.cert);
    },
    get key() {
      return read(files?.key);
    },
  };
}

/** So that a Sentinel that is gone delays only some of the attempts. */
export function shuffled<T>(all: readonly T[]): T[] {
  return all
    .map((one) => ({ one, place: Math.random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ one }) => one);
}
