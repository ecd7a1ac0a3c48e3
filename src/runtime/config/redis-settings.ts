/** How Redis is reached: its URL, and what TLS and Sentinels need besides. */
import { createSecureContext } from "node:tls";
import { readBoundedFile } from "./bounded-file.js";
import type { COMMON_VARIABLES } from "./common-variables.js";
import { passwordIn, urlWithPassword } from "./password-file.js";
import type { VariableReader } from "./read-variables.js";
import { parseRedisUrl, redisUrlHasPassword, redisUrlWithPassword } from "./redis-url.js";

/** More than the largest bundle of root certificates. */
const CERTIFICATES_MAX_BYTES = 1024 * 1024;

/** Paths of PEM files, read again for each connection, so that renewed ones are used. */
export interface TlsFiles {
  /** The authorities that servers' certificates are from; the system's if undefined. */
  readonly ca: string | undefined;
  /** The client's own, with its key. */
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

export interface RedisSettings {
  /** In one of the forms that `redis-url.ts` describes, with the password. */
  readonly url: string;
  readonly tlsFiles?: TlsFiles;
  readonly sentinel?: {
    readonly user: string | undefined;
    readonly password: string | undefined;
    readonly tls: boolean;
  };
}

type Reader = VariableReader<typeof COMMON_VARIABLES>;

/** Required; undefined after a fault. */
export function readRedisSettings(read: Reader): RedisSettings | undefined {
  const faultsBefore = read.faults.length;
  const file = "SEKISHO_REDIS_PASSWORD_FILE";
  const url = urlWithPassword(
    { variable: "SEKISHO_REDIS_URL", url: read.required("SEKISHO_REDIS_URL") },
    {
      variable: file,
      path: read.value(file),
      hasPassword: redisUrlHasPassword,
      insert: redisUrlWithPassword,
    },
    read.faults,
  );
  const address = url === undefined ? undefined : parseRedisUrl(url);
  const sentinel = readSentinel(read, address?.tls ?? false);
  const hasSentinels = address === undefined || address.kind === "sentinel";
  if (!hasSentinels) refuseSentinelSettings(read);
  const usesTls = address === undefined || address.tls || (hasSentinels && sentinel.tls);
  const tlsFiles = readTlsFiles(read, usesTls);
  if (url === undefined || read.faults.length > faultsBefore) return undefined;
  return {
    url,
    ...(tlsFiles === undefined ? {} : { tlsFiles }),
    ...(hasSentinels ? { sentinel } : {}),
  };
}

function readSentinel(read: Reader, tlsOfUrl: boolean): NonNullable<RedisSettings["sentinel"]> {
  const variable = "SEKISHO_REDIS_SENTINEL_PASSWORD_FILE";
  const tls = read.value("SEKISHO_REDIS_SENTINEL_TLS");
  return {
    user: read.value("SEKISHO_REDIS_SENTINEL_USER"),
    password: passwordIn({ variable, path: read.value(variable) }, read.faults),
    tls: tls === undefined || tls === "as-redis" ? tlsOfUrl : tls === "on",
  };
}

const SENTINEL_VARIABLES = [
  "SEKISHO_REDIS_SENTINEL_USER",
  "SEKISHO_REDIS_SENTINEL_PASSWORD_FILE",
] as const;

function refuseSentinelSettings(read: Reader): void {
  for (const where of SENTINEL_VARIABLES) {
    const value = read.env[where];
    if (value === undefined || value === "") continue;
    const problem =
      "is set, but SEKISHO_REDIS_URL names no Sentinels: begin it with redis+sentinel://";
    read.faults.push({ where, value, problem });
  }
}

/** Undefined where none is named. */
function readTlsFiles(read: Reader, usesTls: boolean): TlsFiles | undefined {
  const names = {
    ca: "SEKISHO_REDIS_TLS_CA_FILE",
    cert: "SEKISHO_REDIS_TLS_CERT_FILE",
    key: "SEKISHO_REDIS_TLS_KEY_FILE",
  } as const;
  const fault = (member: keyof TlsFiles, problem: string): void => {
    read.faults.push({ where: names[member], value: files[member], problem });
  };
  const files = {
    ca: read.value(names.ca),
    cert: read.value(names.cert),
    key: read.value(names.key),
  };
  for (const member of ["ca", "cert", "key"] as const) {
    const path = files[member];
    if (path === undefined) continue;
    const content = readBoundedFile(path, CERTIFICATES_MAX_BYTES);
    if ("problem" in content) fault(member, content.problem);
    else if (!usesTls) fault(member, "is set, but SEKISHO_REDIS_URL asks for no TLS: rediss://…");
    else if (member !== "key" && !isCertificate(content.text)) fault(member, NO_CERTIFICATE);
  }
  if ((files.cert === undefined) !== (files.key === undefined)) {
    const missing = files.cert === undefined ? names.cert : names.key;
    fault(files.cert === undefined ? "key" : "cert", `is set without ${missing}: set both or none`);
  } else if (files.cert !== undefined && files.key !== undefined) {
    const problem = faultOfPair(files.cert, files.key);
    if (problem !== undefined) fault("key", problem);
  }
  return Object.values(files).every((path) => path === undefined) ? undefined : files;
}

const NO_CERTIFICATE = "holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)";

/** OpenSSL takes a file without any for an empty list. */
function isCertificate(text: string): boolean {
  if (!text.includes("-----BEGIN CERTIFICATE-----")) return false;
  return faultOfContext({ ca: text }) === undefined;
}

/** What keeps the pair from being used; says nothing where a file has a fault of its own. */
function faultOfPair(certPath: string, keyPath: string): string | undefined {
  const cert = readBoundedFile(certPath, CERTIFICATES_MAX_BYTES);
  const key = readBoundedFile(keyPath, CERTIFICATES_MAX_BYTES);
  if ("problem" in cert || "problem" in key || !isCertificate(cert.text)) return undefined;
  const fault = faultOfContext({ cert: cert.text, key: key.text });
  return fault === undefined
    ? undefined
    : `is not the unencrypted key, in PEM form, of the certificate in ${certPath}`;
}

function faultOfContext(options: {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}): unknown {
  try {
    createSecureContext(options);
    return undefined;
  } catch (error) {
    return error;
  }
}
