/**
 * Writes log lines to a descriptor that may be slow, full, or without a reader, and never waits for
 * it: neither the checks nor the end of the process may depend on who reads the log.
 *
 * Writing is direct and without blocking. In a thread of libuv's pool it would not hold up the checks
 * either, but `process.exit` waits for those threads, and one that writes to a full pipe never ends.
 */
import { constants, openSync, writeSync } from "node:fs";
import { isatty } from "node:tty";

/** How long a full descriptor is left alone. */
const RETRY_MS = 50;
const FLUSH_RETRY_MS = 10;
/** What is handed to the descriptor at once. */
const CHUNK_MAX_BYTES = 64 * 1024;

export interface LineWriterOptions {
  /** Lines that could not be written yet are kept up to here; further ones are dropped. */
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

  /** Writes what is pending, for `withinMs` at most, and does not wait for a reader that has gone. */
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

  /** False: the descriptor takes no more now. */
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
        // Without a reader or a disk with room these lines are lost; the next ones are tried again.
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
  // Node opens pipes and sockets for process.stdout without blocking, but not terminals, which stand
  // still after Ctrl-S. Opened again, one has flags of its own.
  if (!isatty(fd)) return fd;
  try {
    const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
    return openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
  } catch {
    return fd;
  }
}
