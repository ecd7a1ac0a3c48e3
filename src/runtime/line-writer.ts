/**
 * Writes log lines to a descriptor that may be slow, full, or without a reader, and never waits for
 * it: neither the checks nor the exit of the process may depend on the reader of the log.
 *
 * Writes are direct and non-blocking. A thread of libuv's pool would not block the checks either, but
 * `process.exit` waits for those threads, and one that writes to a full pipe never ends.
 */
import { constants, openSync, writeSync } from "node:fs";
import { isatty } from "node:tty";

/** The pause before the next try at a full descriptor. */
const RETRY_MS = 50;
const FLUSH_RETRY_MS = 10;
/** The most that one write takes. */
const CHUNK_MAX_BYTES = 64 * 1024;

export interface LineWriterOptions {
  /** The bound on lines that wait to be written; further ones are dropped. */
  readonly bufferMaxBytes: number;
}

export class LineWriter {
  readonly #descriptor: number;
  readonly #bufferMaxBytes: number;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #scheduled = false;

  constructor(descriptor: number, { bufferMaxBytes }: LineWriterOptions) {
    this.#descriptor = descriptor;
    this.#bufferMaxBytes = bufferMaxBytes;
  }

  write(line: string): void {
    const bytes = Buffer.from(line);
    if (this.#pendingBytes + bytes.length > this.#bufferMaxBytes) return;
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#writeLater);
  }

  /** Writes what is pending, within `withinMs`, and does not wait for a reader that has gone. */
  flush(withinMs: number): void {
    const deadlineMs = performance.now() + withinMs;
    while (!this.#writePending() && performance.now() < deadlineMs) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FLUSH_RETRY_MS);
    }
  }

  readonly #writeLater = (): void => {
    this.#scheduled = !this.#writePending();
    if (this.#scheduled) setTimeout(this.#writeLater, RETRY_MS).unref();
  };

  /** False: the descriptor is full. */
  #writePending(): boolean {
    while (this.#pendingBytes > 0) {
      const chunk = this.#takeChunk();
      try {
        const written = writeSync(this.#descriptor, chunk);
        this.#putBack(chunk.subarray(written));
      } catch (error) {
        if (isFull(error)) {
          this.#putBack(chunk);
          return false;
        }
        // Without a reader, or on a full disk, these lines are lost; the next ones are tried again.
        [this.#pending, this.#pendingBytes] = [[], 0];
      }
    }
    return true;
  }

  #takeChunk(): Buffer {
    let [count, bytes] = [0, 0];
    for (const { length } of this.#pending) {
      if (count > 0 && bytes + length > CHUNK_MAX_BYTES) break;
      count += 1;
      bytes += length;
    }
    this.#pendingBytes -= bytes;
    return Buffer.concat(this.#pending.splice(0, count));
  }

  #putBack(rest: Buffer): void {
    if (rest.length === 0) return;
    this.#pending.unshift(rest);
    this.#pendingBytes += rest.length;
  }
}

function isFull(error: unknown): boolean {
  return (
    error instanceof Error &&
    "code" in error &&
    (error.code === "EAGAIN" || error.code === "EBUSY" || error.code === "EINTR")
  );
}

/** A descriptor of standard output on which a write never blocks, as far as the system has one. */
export function nonBlockingStandardOutput(): number {
  const { fd } = process.stdout;
  // Node makes pipes and sockets of process.stdout non-blocking, but not terminals, which stop after
  // Ctrl-S. A terminal that is opened again has its own flags.
  if (!isatty(fd)) return fd;
  try {
    const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
    return openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
  } catch {
    return fd;
  }
}
