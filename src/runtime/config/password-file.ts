/** A URL whose password may be in a file, read once at startup. */
import { readBoundedFile } from "./bounded-file.js";
import type { COMMON_VARIABLES } from "./common-variables.js";
import { hasPassword, redisUrlWithPassword } from "./connection-url.js";
import type { ConfigFault, VariableReader } from "./read-variables.js";

/** Far more than any password or token. */
const PASSWORD_MAX_BYTES = 16 * 1024;

/** Required; undefined after a fault. */
export function readRedisUrl(read: VariableReader<typeof COMMON_VARIABLES>): string | undefined {
  const url = read.required("SEKISHO_REDIS_URL");
  const file = "SEKISHO_REDIS_PASSWORD_FILE";
  const password = { variable: file, path: read.value(file), insert: redisUrlWithPassword };
  return urlWithPassword({ variable: "SEKISHO_REDIS_URL", url }, password, read.faults);
}

/** The URL, with the password of the file if one is named; undefined after a fault. */
export function urlWithPassword(
  { variable, url }: { readonly variable: string; readonly url: string | undefined },
  file: {
    readonly variable: string;
    readonly path: string | undefined;
    readonly insert: (url: string, password: string) => string;
  },
  faults: ConfigFault[],
): string | undefined {
  const { path } = file;
  if (path === undefined) return url;
  const read = readPassword(path);
  if ("problem" in read) faults.push({ where: file.variable, value: path, problem: read.problem });
  if (url === undefined) return undefined;
  if (hasPassword(url)) {
    const problem = `is set, and ${variable} holds a password as well: leave one of them out`;
    faults.push({ where: file.variable, value: path, problem });
    return undefined;
  }
  return "problem" in read ? undefined : file.insert(url, read.password);
}

/** The file's only line, without the line break that an editor or `echo` appends. */
function readPassword(path: string): { readonly password: string } | { readonly problem: string } {
  const read = readBoundedFile(path, PASSWORD_MAX_BYTES);
  if ("problem" in read) return read;
  const password = read.text.replace(/\r?\n$/, "");
  if (password === "") return { problem: "is empty: it must hold the password" };
  if (/\p{Cc}/u.test(password)) return { problem: "must hold one line, the password" };
  return { password };
}
