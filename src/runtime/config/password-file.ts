/** A URL whose password may be in a file, read once at startup. */
import { readBoundedFile } from "./bounded-file.js";
import type { ConfigFault } from "./read-variables.js";

/** Far more than any password or token. */
const PASSWORD_MAX_BYTES = 16 * 1024;

/** The URL, with the password of the file if one is named; undefined after a fault. */
export function urlWithPassword(
  { variable, url }: { readonly variable: string; readonly url: string | undefined },
  file: {
    readonly variable: string;
    readonly path: string | undefined;
    readonly hasPassword: (url: string) => boolean;
    readonly insert: (url: string, password: string) => string;
  },
  faults: ConfigFault[],
): string | undefined {
  const { path } = file;
  if (path === undefined) return url;
  const password = passwordIn(file, faults);
  if (url === undefined) return undefined;
  if (file.hasPassword(url)) {
    const problem = `is set, and ${variable} holds a password as well: leave one of them out`;
    faults.push({ where: file.variable, value: path, problem });
    return undefined;
  }
  return password === undefined ? undefined : file.insert(url, password);
}

/** The password in a file, or undefined: none is named, or there is a fault. */
export function passwordIn(
  file: { readonly variable: string; readonly path: string | undefined },
  faults: ConfigFault[],
): string | undefined {
  if (file.path === undefined) return undefined;
  const read = readPassword(file.path);
  if (!("problem" in read)) return read.password;
  faults.push({ where: file.variable, value: file.path, problem: read.problem });
  return undefined;
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
