/**
 * The entries of the local state by the hash of their names, and in the order in which they were applied.
 *
 * An entry is a record of 56 bytes and has no objects: a million of them cost the garbage collector
 * nothing. Entries whose hashes lead to one bucket are linked in a list; linear hashing (Litwin)
 * splits a bucket or two for each entry that is added, so no step ever rebuilds the table. Records of
 * removed entries are used again.
 *
 * The names themselves are not kept. Two of one kind whose hashes are equal in all 64 bits share an entry,
 * which then refuses more than was revoked and never less; entries of different kinds share nothing.
 */
import type { Deadline } from "../../runtime/deadline.js";
import { PagedRecords } from "./paged-records.js";

/** No entry: record 0 holds the ends of the order. */
export const NONE = 0;

export interface EntryValues {
  readonly epoch: number;
  readonly issuedBefore: number;
  readonly forgetAt: Deadline;
}

/** Where the fields of an entry are in its record, in bytes. */
const WALL_MS = 0;
const MONOTONIC_MS = 8;
const EPOCH = 16;
const ISSUED_BEFORE = 24;
const LOW = 32;
const HIGH = 36;
const KIND = 40;
/** The next one in the bucket, or among the records to use again. */
const NEXT = 44;
const OLDER = 48;
const NEWER = 52;
const ENTRY_BYTES = 56;

const BUCKET_BYTES = 4;
const BUCKETS_PER_ENTRY = 2;

export class EntryTable {
  readonly #entries = new PagedRecords(ENTRY_BYTES);
  /** Of each bucket, its first entry. */
  readonly #buckets = new PagedRecords(BUCKET_BYTES);
  /** There are `#mask + 1` buckets, a power of two, and those that the first `#split` were split into. */
  #mask = 0;
  #split = 0;
  #size = 0;
  #recordsUsed = 1;
  #removed = NONE;

  constructor() {
    this.#entries.provide(NONE);
    this.#buckets.provide(0);
  }

  get size(): number {
    return this.#size;
  }

  /** The entry that was added or refreshed before all others; NONE: there is none. */
  get oldest(): number {
    return this.#entries.int(NONE, NEWER);
  }

  find(kind: number, low: number, high: number): number {
    const entries = this.#entries;
    let entry = this.#buckets.int(this.#bucketOf(low), 0);
    while (entry !== NONE) {
      const isIt = entries.int(entry, LOW) === low && entries.int(entry, HIGH) === high;
      if (isIt && entries.int(entry, KIND) === kind) break;
      entry = entries.int(entry, NEXT);
    }
    return entry;
  }

  /** Adds one that `find` does not find, as the newest. */
  add(kind: number, low: number, high: number): number {
    const entries = this.#entries;
    const entry = this.#record();
    entries.setInt(entry, LOW, low);
    entries.setInt(entry, HIGH, high);
    entries.setInt(entry, KIND, kind);
    this.#putFirst(this.#bucketOf(low), entry);
    this.#append(entry);
    this.#size += 1;
    while (this.#mask + 1 + this.#split < BUCKETS_PER_ENTRY * this.#size) this.#splitBucket();
    return entry;
  }

  /** Makes it the newest. */
  refresh(entry: number): void {
    this.#unlink(entry);
    this.#append(entry);
  }

  remove(entry: number): void {
    this.#takeOut(this.#bucketOf(this.#entries.int(entry, LOW)), entry);
    this.#unlink(entry);
    this.#entries.setInt(entry, NEXT, this.#removed);
    this.#removed = entry;
    this.#size -= 1;
  }

  kindOf(entry: number): number {
    return this.#entries.int(entry, KIND);
  }

  epochOf(entry: number): number {
    return this.#entries.double(entry, EPOCH);
  }

  issuedBeforeOf(entry: number): number {
    return this.#entries.double(entry, ISSUED_BEFORE);
  }

  forgetAtOf(entry: number): Deadline {
    const entries = this.#entries;
    return {
      wallMs: entries.double(entry, WALL_MS),
      monotonicMs: entries.double(entry, MONOTONIC_MS),
    };
  }

  setValues(entry: number, { epoch, issuedBefore, forgetAt }: EntryValues): void {
    const entries = this.#entries;
    entries.setDouble(entry, EPOCH, epoch);
    entries.setDouble(entry, ISSUED_BEFORE, issuedBefore);
    entries.setDouble(entry, WALL_MS, forgetAt.wallMs);
    entries.setDouble(entry, MONOTONIC_MS, forgetAt.monotonicMs);
  }

  #record(): number {
    const entry = this.#removed;
    if (entry !== NONE) {
      this.#removed = this.#entries.int(entry, NEXT);
      return entry;
    }
    const unused = this.#recordsUsed;
    this.#entries.provide(unused);
    this.#recordsUsed += 1;
    return unused;
  }

  #bucketOf(low: number): number {
    const bucket = low & this.#mask;
    return bucket < this.#split ? low & (2 * this.#mask + 1) : bucket;
  }

  #putFirst(bucket: number, entry: number): void {
    this.#entries.setInt(entry, NEXT, this.#buckets.int(bucket, 0));
    this.#buckets.setInt(bucket, 0, entry);
  }

  #takeOut(bucket: number, entry: number): void {
    const entries = this.#entries;
    const next = entries.int(entry, NEXT);
    let before = this.#buckets.int(bucket, 0);
    if (before === entry) {
      this.#buckets.setInt(bucket, 0, next);
      return;
    }
    while (entries.int(before, NEXT) !== entry) {
      before = entries.int(before, NEXT);
      if (before === NONE) throw new RangeError(`entry ${entry} is not held`);
    }
    entries.setInt(before, NEXT, next);
  }

  /** Moves about half of the next bucket's entries into a new one, by one more bit of their hashes. */
  #splitBucket(): void {
    const bucket = this.#split;
    const added = bucket + this.#mask + 1;
    this.#buckets.provide(added);
    let entry = this.#buckets.int(bucket, 0);
    this.#buckets.setInt(bucket, 0, NONE);
    while (entry !== NONE) {
      const next = this.#entries.int(entry, NEXT);
      const moves = (this.#entries.int(entry, LOW) & (this.#mask + 1)) !== 0;
      this.#putFirst(moves ? added : bucket, entry);
      entry = next;
    }
    this.#split += 1;
    if (this.#split <= this.#mask) return;
    this.#mask = 2 * this.#mask + 1;
    this.#split = 0;
  }

  #append(entry: number): void {
    const newest = this.#entries.int(NONE, OLDER);
    this.#link(newest, entry);
    this.#link(entry, NONE);
  }

  #unlink(entry: number): void {
    this.#link(this.#entries.int(entry, OLDER), this.#entries.int(entry, NEWER));
  }

  #link(older: number, newer: number): void {
    this.#entries.setInt(older, NEWER, newer);
    this.#entries.setInt(newer, OLDER, older);
  }
}
