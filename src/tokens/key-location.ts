import type { KeyLocation } from "./issuer.js";
import { fetchKeySet } from "./key-fetch-http.js";
import { readKeySetFile } from "./key-read-file.js";

/**
 * Loads the JSON at a location.
 *
 * @param signal aborts a fetch, but not the reading of a file, which is quick.
 * @throws {KeyLoadError}
 */
export function loadKeySet(location: KeyLocation, signal: AbortSignal): Promise<unknown> {
  return location.kind === "url"
    ? fetchKeySet(location.url, signal)
    : readKeySetFile(location.path);
}
