import type { KeyLocation } from "./issuer.js";
import { fetchKeySet } from "./key-fetch-http.js";
import { readKeySetFile } from "./key-read-file.js";

/**
 * Loads the JSON that stands at a location.
 *
 * @param signal aborts a fetch; a file is read too quickly to be worth it.
 * @throws {KeyLoadError}
 */
export function loadKeySet(location: KeyLocation, signal: AbortSignal): Promise<unknown> {
  return location.kind === "url"
    ? fetchKeySet(location.url, signal)
    : readKeySetFile(location.path);
}
