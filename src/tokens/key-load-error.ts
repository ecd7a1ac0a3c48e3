/** Why the text of a key set could not be had. */
export type KeyLoadErrorCode =
  | "url_invalid"
  | "unreachable"
  | "timed_out"
  | "aborted"
  | "status_unexpected"
  | "file_unreadable"
  | "too_large"
  | "not_json";

/** Its message is one line that says where and what to do, and holds no credentials. */
export class KeyLoadError extends Error {
  override readonly name = "KeyLoadError";
  readonly code: KeyLoadErrorCode;

  constructor(code: KeyLoadErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/**
 * The code that Node or undici gave an error (`ECONNREFUSED`), which may be on its cause. Read by
 * shape, because `fetch` wraps the error of the socket.
 */
export function systemCodeOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  if ("code" in error && typeof error.code === "string") return error.code;
  return "cause" in error ? systemCodeOf(error.cause) : undefined;
}
