/** Why a key set could not be loaded. */
export type KeyLoadErrorCode =
  | "url_invalid"
  | "unreachable"
  | "timed_out"
  | "aborted"
  | "status_unexpected"
  | "file_unreadable"
  | "too_large"
  | "not_json";

/** The message is one line with location and advice, without credentials. */
export class KeyLoadError extends Error {
  override readonly name = "KeyLoadError";
  readonly code: KeyLoadErrorCode;

  constructor(code: KeyLoadErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/**
 * The code of an error of Node or undici (`ECONNREFUSED`), or of its cause: `fetch` wraps the error
 * of the socket.
 */
export function systemCodeOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  if ("code" in error && typeof error.code === "string") return error.code;
  return "cause" in error ? systemCodeOf(error.cause) : undefined;
}
