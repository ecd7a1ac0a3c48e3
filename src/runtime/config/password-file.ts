/** The URLs of Redis and PostgreSQL with the password that a file may hold; read once, at the start. */
import { readBoundedFile } from "./bounded-file.js";
import {
  databaseUrlFiles,
  databaseUrlWithPassword,
  hasPassword,
  redisUrlWithPassword,
} from "./connection-url.js";
import {
  readVariable,
  requireVariable,
  type ConfigFault,
  type Environment,
} from "./read-variables.js";

/** Far more than any password or token that such a server takes. */
const PASSWORD_MAX_BYTES = 16 * 1024;

const CERTIFICATES_MAX_BYTES = 4 * 1024 * 1024;

const FILES = {
  SEKISHO_REDIS_URL: { file: "SEKISHO_REDIS_PASSWORD_FILE", insert: redisUrlWithPassword },
  SEKISHO_DATABASE_URL: { file: "SEKISHO_DATABASE_PASSWORD_FILE", insert: databaseUrlWithPassword },
} as const;

/** Needed wherever it is read; undefined after a fault. */
export function readRedisUrl(env: Environment, faults: ConfigFault[]): string | undefined {
  const url = requireVariable(env, "SEKISHO_REDIS_URL", faults);
  return withPassword("SEKISHO_REDIS_URL", url, env, faults);
}

/** Undefined where it is not set, or after a fault. */
export function readDatabaseUrl(env: Environment, faults: ConfigFault[]): string | undefined {
  const faultsBefore = faults.length;
  const url = readVariable(env, "SEKISHO_DATABASE_URL", faults);
  const { file } = FILES.SEKISHO_DATABASE_URL;
  const path = readVariable(env, file, faults);
  if (url === undefined && path !== undefined && faults.length === faultsBefore) {
    faults.push({ where: file, value: path, problem: "is set, but SEKISHO_DATABASE_URL is not" });
  }
  for (const [parameter, named] of url === undefined ? [] : databaseUrlFiles(url)) {
    const read = readBoundedFile(named, CERTIFICATES_MAX_BYTES);
    if (!("problem" in read)) continue;
    const problem = `names a file in its parameter ${parameter} that ${read.problem}`;
    faults.push({ where: "SEKISHO_DATABASE_URL", value: named, problem });
  }
  return withPassword("SEKISHO_DATABASE_URL", url, env, faults);
}

function withPassword(
  name: keyof typeof FILES,
  url: string | undefined,
  env: Environment,
  faults: ConfigFault[],
): string | undefined {
  const { file, insert } = FILES[name];
  const path = readVariable(env, file, faults);
  if (path === undefined) return url;
  const read = readPassword(path);
  if ("problem" in read) faults.push({ where: file, value: path, problem: read.problem });
  if (url === undefined) return undefined;
  if (hasPassword(url)) {
    const problem = `is set, and ${name} holds a password as well: leave one of them out`;
    faults.push({ where: file, value: path, problem });
    return undefined;
  }
  return "problem" in read ? undefined : insert(url, read.password);
}

/** The file's only line, without the line break that an editor or `echo` puts behind it. */
function readPassword(path: string): { readonly password: string } | { readonly problem: string } {
  const read = readBoundedFile(path, PASSWORD_MAX_BYTES);
  if ("problem" in read) return read;
  const password = read.text.replace(/\r?\n$/, "");
  if (password === "") return { problem: "is empty: it must hold the password" };
  if (/\p{Cc}/u.test(password)) return { problem: "must hold one line, the password" };
  return { password };
}
