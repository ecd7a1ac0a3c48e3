import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

/**
 * Where the user's programs keep what they can fetch again (XDG Base Directory Specification, which
 * also says to ignore a relative path).
 * @param {NodeJS.ProcessEnv} env
 */
export function cacheFolder(env) {
  const configured = env.XDG_CACHE_HOME ?? "";
  return join(isAbsolute(configured) ? configured : join(homedir(), ".cache"), "sekisho");
}
