import { hash, parseOptions, verify, type ParsedHashOptions } from "@node-rs/argon2";

import { BoundedQueue, type QueueBounds } from "./bounded-queue.js";
import { normalisedPassword } from "./password-form.js";
import { PasswordHasherError, type PasswordHasher } from "./password-hasher.js";

/** What one hash costs (RFC 9106 §3.1). */
export interface HashingCost {
  readonly memoryKiB: number;
  /** Passes over that memory. */
  readonly passes: number;
  /** Lanes that could be computed in parallel. */
  readonly lanes: number;
}

/** The minimum of OWASP's Password Storage Cheat Sheet for argon2id: 19 MiB, 2, 1. */
export const DEFAULT_HASHING_COST: HashingCost = { memoryKiB: 19 * 1024, passes: 2, lanes: 1 };

/**
 * libuv has four threads by default, and signing tokens and resolving names need some of them too.
 * Two threads work through a queue of 64 in about half a second.
 */
export const DEFAULT_HASHING_LIMITS: QueueBounds = {
  concurrency: 2,
  queueMax: 64,
  waitMaxMs: 5000,
};

/** A stored hash that costs more than this is damaged or forged. */
const COST_MAX: HashingCost = { memoryKiB: 1024 * 1024, passes: 64, lanes: 16 };

const HASH_BYTES = 32;
const SALT_BYTES = 16;
/** The variant and version of new hashes (the library's defaults). */
const FORM = "$argon2id$v=19$";

export interface Argon2HasherOptions {
  readonly cost?: HashingCost;
  readonly limits?: QueueBounds;
}

/** argon2id on libuv's threads, a few at a time: the event loop never waits for it. */
export class Argon2PasswordHasher implements PasswordHasher {
  readonly #cost: HashingCost;
  readonly #queue: BoundedQueue;
  readonly #dummyHash: string;

  constructor(options: Argon2HasherOptions = {}) {
    this.#cost = options.cost ?? DEFAULT_HASHING_COST;
    requireUsable(this.#cost);
    this.#queue = new BoundedQueue(options.limits ?? DEFAULT_HASHING_LIMITS);
    this.#dummyHash = dummyHash(this.#cost);
  }

  get pending(): number {
    return this.#queue.pending;
  }

  get queued(): number {
    return this.#queue.queued;
  }

  async hash(password: string): Promise<string> {
    const normalised = normalisedPassword(password);
    if (normalised === undefined) throw new RangeError("this text cannot be a password");
    return this.#work(() =>
      hash(normalised, {
        memoryCost: this.#cost.memoryKiB,
        timeCost: this.#cost.passes,
        parallelism: this.#cost.lanes,
        outputLen: HASH_BYTES,
      }),
    );
  }

  async verify(stored: string | undefined, password: string): Promise<boolean> {
    if (stored !== undefined) requireReadable(stored);
    const normalised = normalisedPassword(password);
    if (stored === undefined || normalised === undefined) {
      await this.#work(() => verify(this.#dummyHash, normalised ?? ""));
      return false;
    }
    return this.#work(() => verify(stored, normalised));
  }

  needsRehash(stored: string): boolean {
    const { memoryCost, timeCost, parallelism, outputLen, saltLen } = parsed(stored);
    return (
      !stored.startsWith(FORM) ||
      memoryCost !== this.#cost.memoryKiB ||
      timeCost !== this.#cost.passes ||
      parallelism !== this.#cost.lanes ||
      outputLen !== HASH_BYTES ||
      saltLen < SALT_BYTES
    );
  }

  async close(): Promise<void> {
    await this.#queue.close();
  }

  #work<T>(work: () => Promise<T>): Promise<T> {
    return this.#queue.run(async () => {
      try {
        return await work();
      } catch (error) {
        throw new PasswordHasherError("hashing_failed", "argon2 failed", error);
      }
    });
  }
}

/**
 * A hash that no password matches: all zeros, for which no preimage can be found. It is written out
 * and not computed, so that the first unknown user takes no longer than the next.
 */
function dummyHash({ memoryKiB, passes, lanes }: HashingCost): string {
  const zeros = (bytes: number): string =>
    Buffer.alloc(bytes).toString("base64").replace(/=+$/, "");
  const cost = `m=${memoryKiB},t=${passes},p=${lanes}`;
  return `${FORM}${cost}$${zeros(SALT_BYTES)}$${zeros(HASH_BYTES)}`;
}

function requireReadable(stored: string): void {
  const { memoryCost, timeCost, parallelism } = parsed(stored);
  if (
    memoryCost > COST_MAX.memoryKiB ||
    timeCost > COST_MAX.passes ||
    parallelism > COST_MAX.lanes
  ) {
    throw new PasswordHasherError("hash_unreadable", "a stored hash exceeds the allowed cost");
  }
}

function parsed(stored: string): ParsedHashOptions {
  try {
    return parseOptions(stored);
  } catch {
    // The library's message might repeat a part of the hash.
    throw new PasswordHasherError("hash_unreadable", "a stored hash is not an argon2 hash");
  }
}

function requireUsable({ memoryKiB, passes, lanes }: HashingCost): void {
  const whole = [memoryKiB, passes, lanes].every((value) => Number.isSafeInteger(value));
  const inBounds =
    lanes >= 1 &&
    lanes <= COST_MAX.lanes &&
    passes >= 1 &&
    passes <= COST_MAX.passes &&
    // RFC 9106 §3.1: at least eight blocks of 1 KiB for each lane.
    memoryKiB >= 8 * lanes &&
    memoryKiB <= COST_MAX.memoryKiB;
  if (!whole || !inBounds) throw new RangeError("the cost of hashing is out of bounds");
}
