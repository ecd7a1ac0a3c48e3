/** Reads a file named in the settings, which may turn out to be a device, a pipe or a disk image. */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";

export type FileText = { readonly text: string } | { readonly problem: string };

/** The file's text, or what is wrong with it, as words that follow its name. Reads no more than that. */
export function readBoundedFile(path: string, bytesMax: number): FileText {
  let descriptor: number | undefined = undefined;
  try {
    // Without O_NONBLOCK, opening a pipe waits for a writer.
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = fstatSync(descriptor);
    if (!stats.isFile()) return { problem: "is not a file" };
    const tooLarge = { problem: `is larger than ${sizeInWords(bytesMax)}` };
    if (stats.size > bytesMax) return tooLarge;
    const bytes = readAtMost(descriptor, bytesMax + 1);
    if (bytes.length > bytesMax) return tooLarge;
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) };
  } catch (error) {
    return { problem: describeError(error) };
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

function sizeInWords(bytes: number): string {
  const kib = bytes / 1024;
  return kib < 1024 ? `${kib} KiB` : `${kib / 1024} MiB`;
}

/** Reads to the end of the file: its size may be wrong (0 below /proc) or grow meanwhile. */
function readAtMost(descriptor: number, bytesMax: number): Buffer {
  const buffer = Buffer.alloc(bytesMax);
  let length = 0;
  while (length < bytesMax) {
    const read = readSync(descriptor, buffer, length, bytesMax - length, null);
    if (read === 0) break;
    length += read;
  }
  return buffer.subarray(0, length);
}

function describeError(error: unknown): string {
  const code =
    typeof error === "object" && error !== null && "code" in error ? String(error.code) : "";
  if (code === "ENOENT" || code === "ENOTDIR") return "cannot be read: there is no such file";
  if (code === "ERR_ENCODING_INVALID_ENCODED_DATA") return "is not text in UTF-8";
  return `cannot be read: ${code === "" ? String(error) : code}`;
}
