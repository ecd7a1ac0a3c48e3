import { KeyLoadError, systemCodeOf } from "./key-load-error.js";
import { KEY_SET_MAX_BYTES, parseKeySetText } from "./key-set-text.js";

/** How long the whole answer may take, from the connection to the last byte. */
export const KEY_FETCH_TIMEOUT_MS = 5000;

/**
 * Fetches a key set over HTTP(S). Redirects are not followed: only the configuration decides where
 * keys come from. Credentials in the URL are sent as Basic authentication (RFC 7617) and never appear
 * in a message.
 *
 * @param signal aborts the fetch (`aborted`).
 * @throws {KeyLoadError}
 */
export async function fetchKeySet(
  location: string,
  signal: AbortSignal,
  timeoutMs = KEY_FETCH_TIMEOUT_MS,
): Promise<unknown> {
  const { url, headers, shown } = target(location);
  const abort = new AbortController();
  const onAbort = () => abort.abort();
  const timer = setTimeout(onAbort, timeoutMs);
  timer.unref();
  signal.addEventListener("abort", onAbort);
  if (signal.aborted) onAbort();
  try {
    const response = await fetch(url, { headers, redirect: "manual", signal: abort.signal });
    if (response.status !== 200) {
      throw new KeyLoadError("status_unexpected", `${shown} ${statusText(response.status)}`);
    }
    return parseKeySetText(await bodyOf(response, shown), shown);
  } catch (error) {
    if (error instanceof KeyLoadError) throw error;
    if (signal.aborted) throw new KeyLoadError("aborted", `loading ${shown} was aborted`, error);
    if (abort.signal.aborted) {
      const message = `${shown} did not answer within ${timeoutMs} ms: check that it is up`;
      throw new KeyLoadError("timed_out", message, error);
    }
    const why = systemCodeOf(error) ?? "no HTTP answer";
    const message = `${shown} could not be reached (${why}): check the URL and the network`;
    throw new KeyLoadError("unreachable", message, error);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    // Releases the connection where the body was not read to its end.
    abort.abort();
  }
}

async function bodyOf(response: Response, shown: string): Promise<Uint8Array> {
  if (response.body === null) return new Uint8Array();
  const body: AsyncIterable<Uint8Array> = response.body;
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    if (bytes > KEY_SET_MAX_BYTES) {
      const message = `${shown} sent more than ${KEY_SET_MAX_BYTES} bytes: is it a JWK Set?`;
      throw new KeyLoadError("too_large", message);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function statusText(status: number): string {
  if (status >= 300 && status < 400) {
    return `redirects (status ${status}), which is not followed: configure the final URL`;
  }
  return `answered with status ${status} instead of 200: check the URL`;
}

interface Target {
  readonly url: URL;
  readonly headers: Record<string, string>;
  /** The URL as messages show it: without user, password, query and fragment. */
  readonly shown: string;
}

function target(location: string): Target {
  const url = URL.canParse(location) ? new URL(location) : undefined;
  if (url === undefined || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new KeyLoadError("url_invalid", "the JWKS URL is not an http:// or https:// URL");
  }
  const hasCredentials = url.username !== "" || url.password !== "";
  const shown = `${url.protocol}//${hasCredentials ? "***@" : ""}${url.host}${url.pathname}`;
  const headers: Record<string, string> = { accept: "application/jwk-set+json, application/json" };
  if (hasCredentials) {
    const credentials = `${percentDecoded(url.username)}:${percentDecoded(url.password)}`;
    headers.authorization = `Basic ${Buffer.from(credentials).toString("base64")}`;
    url.username = "";
    url.password = "";
  }
  return { url, headers, shown };
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    const message = "the JWKS URL has credentials that are not percent-encoded";
    throw new KeyLoadError("url_invalid", message, cause);
  }
}
