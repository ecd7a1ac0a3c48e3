import { KeyLoadError } from "./key-load-error.js";

/** The largest key set that is read, whatever size it declares. */
export const KEY_SET_MAX_BYTES = 256 * 1024;

/** Skips a byte order mark, which some servers put before their JSON (RFC 8259, section 8.1). */
const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Parses the loaded JSON; `parseKeySet` decides whether it is a usable key set.
 *
 * @param shown where it came from, for the message.
 * @throws {KeyLoadError} `not_json`
 */
export function parseKeySetText(bytes: Uint8Array, shown: string): unknown {
  try {
    const json: unknown = JSON.parse(utf8.decode(bytes));
    return json;
  } catch (cause) {
    throw new KeyLoadError("not_json", `${shown} is not JSON: is it a JWK Set?`, cause);
  }
}
