import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { KeyLoadError, systemCodeOf } from "./key-load-error.js";
import { KEY_SET_MAX_BYTES, parseKeySetText } from "./key-set-text.js";

/**
 * Reads a key set from a file, which may be a symbolic link (Kubernetes mounts a ConfigMap as one)
 * but not a pipe or a device, which may never end.
 *
 * @throws {KeyLoadError}
 */
export async function readKeySetFile(path: string): Promise<unknown> {
  let file: FileHandle;
  try {
    // Without O_NONBLOCK, opening a pipe waits for a writer.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw unreadable(path, error);
  }
  try {
    if (!(await file.stat()).isFile()) {
      throw new KeyLoadError("file_unreadable", `${path} is not a file: give it a JWK Set`);
    }
    return parseKeySetText(await readBounded(file, path), path);
  } catch (error) {
    throw error instanceof KeyLoadError ? error : unreadable(path, error);
  } finally {
    await file.close();
  }
}

/** Reads up to one byte more than allowed, without relying on the file's size. */
async function readBounded(file: FileHandle, path: string): Promise<Uint8Array> {
  const buffer = Buffer.alloc(KEY_SET_MAX_BYTES + 1);
  let filled = 0;
  while (filled < buffer.length) {
    const { bytesRead } = await file.read(buffer, filled, buffer.length - filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  if (filled > KEY_SET_MAX_BYTES) {
    const message = `${path} has more than ${KEY_SET_MAX_BYTES} bytes: is it a JWK Set?`;
    throw new KeyLoadError("too_large", message);
  }
  return buffer.subarray(0, filled);
}

function unreadable(path: string, cause: unknown): KeyLoadError {
  const why = systemCodeOf(cause) ?? "unknown error";
  const message = `${path} could not be read (${why}): check the path and its permissions`;
  return new KeyLoadError("file_unreadable", message, cause);
}
