/** Which PostgreSQL the tests start, and as which user. */
import { execFile } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { promisify } from "node:util";

import type { OsUser } from "./child-process.js";

const run = promisify(execFile);

/** Both are needed, and `initdb` looks for `postgres` beside itself. */
const PROGRAMS = ["initdb", "postgres"];

/** The first of these that exists; the Debian package makes the first. */
const ORDINARY_USERS = ["postgres", "nobody"];

/** The folder of PostgreSQL's programs: that of SEKISHO_POSTGRES, else the one on PATH. */
export function findPostgresPrograms(environment: NodeJS.ProcessEnv = process.env): string {
  const chosen = environment["SEKISHO_POSTGRES"];
  if (chosen !== undefined && chosen !== "") {
    if (holdsPrograms(chosen)) return resolve(chosen);
    throw new Error(`SEKISHO_POSTGRES is ${chosen}, a folder without ${PROGRAMS.join(" and ")}`);
  }
  const found = (environment["PATH"] ?? "").split(delimiter).find(holdsPrograms);
  if (found !== undefined) return resolve(found);
  throw new Error(
    `${PROGRAMS.join(" and ")} are not on PATH, and SEKISHO_POSTGRES does not name their folder`,
  );
}

function holdsPrograms(folder: string): boolean {
  return folder !== "" && PROGRAMS.every((name) => isExecutable(join(folder, name)));
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * PostgreSQL refuses to run as root. For a process of root, the ordinary user to run it as; otherwise
 * undefined: the process's own user.
 */
export async function findPostgresUser(): Promise<OsUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of ORDINARY_USERS) {
    const [uid, gid] = await Promise.all([askId("-u", name), askId("-g", name)]);
    if (uid !== undefined && gid !== undefined) return { uid, gid };
  }
  throw new Error(
    "PostgreSQL refuses to run as root, and here is no user to run it as " +
      `(looked for ${ORDINARY_USERS.join(", ")})`,
  );
}

async function askId(flag: "-u" | "-g", name: string): Promise<number | undefined> {
  const answer = await run("id", [flag, name]).catch(() => undefined);
  return answer === undefined ? undefined : Number(answer.stdout);
}
