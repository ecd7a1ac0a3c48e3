/**
 * What this node knows to be revoked, in bounded memory.
 *
 * - Merging is monotone: epochs, cut-offs and the time to forget only rise, so entries may be applied
 *   again, twice or out of order.
 * - An entry is forgotten only when its `forget_at` has passed on both clocks.
 * - If an entry that may still matter is evicted, the node is *saturated* until the latest
 *   `forget_at` evicted: until then "not known" no longer means "not revoked", and `uncertainty`
 *   says so. Eviction never turns a denial into an allow.
 *
 * The order of the LRU is the order of application (checks only peek), so the entry that is evicted
 * is the one that would be forgotten next.
 */
import { LRUCache } from "lru-cache";
import { momentOf, type Clock, type Moment } from "../../runtime/clock.js";
import { deadlineAt, hasPassed, laterOf, type Deadline } from "../../runtime/deadline.js";
import type { Revocation } from "../../revocation-log/entry.js";

export type EntryKind = "session" | "user" | "tenant";

interface Held {
  readonly kind: EntryKind;
  readonly epoch: number;
  readonly issuedBefore: number;
  readonly forgetAt: Deadline;
}

/** What is known about one token's session and user. */
export interface KnownRevocations {
  readonly sessionRevoked: boolean;
  /** The highest epoch known of the user; 0 if none. */
  readonly epoch: number;
  /** Tokens issued before this (Unix seconds) are revoked; 0 if there is no cut-off. */
  readonly issuedBefore: number;
  /** Why a key that is not held may still be revoked; undefined: it is not. */
  readonly uncertainty: "saturated" | "unreadable_entry" | undefined;
}

/** How many entries one call to `forgetPassed` looks at, at the most. */
const FORGET_BATCH_MAX = 256;

// Ids contain no control characters, so a NUL between them makes every key unambiguous.
const sessionKey = (tenant: string, session: string): string => `s\0${tenant}\0${session}`;
const userKey = (tenant: string, user: string): string => `u\0${tenant}\0${user}`;
const tenantKey = (tenant: string): string => `t\0${tenant}`;

export class LocalState {
  readonly #clock: Clock;
  readonly #held: LRUCache<string, Held>;
  readonly #counts: Record<EntryKind, number> = { session: 0, user: 0, tenant: 0 };
  #saturatedUntil: Deadline | undefined;
  #unreadableUntil: Deadline | undefined;

  /** `maxEntries`: sessions, users and tenants together. */
  constructor(maxEntries: number, clock: Clock) {
    this.#clock = clock;
    this.#held = new LRUCache<string, Held>({
      max: maxEntries,
      dispose: (held, _key, reason) => this.#disposed(held, reason),
    });
  }

  /** Takes in one revocation; `forgetAtMs` is Unix milliseconds. */
  apply(revocation: Revocation, forgetAtMs: number): void {
    const forgetAt = deadlineAt(forgetAtMs, momentOf(this.#clock));
    if (revocation.kind === "session_revoked") {
      const key = sessionKey(revocation.tenant, revocation.session);
      this.#merge(key, { kind: "session", epoch: 0, issuedBefore: 0, forgetAt });
      return;
    }
    const { tenant, user, epoch = 0, issuedBefore = 0 } = revocation;
    this.#merge(userKey(tenant, user), { kind: "user", epoch, issuedBefore, forgetAt });
  }

  /** An entry of this tenant could not be read: nothing of it is certain until `forgetAtMs`. */
  markTenantUncertain(tenant: string, forgetAtMs: number): void {
    const forgetAt = deadlineAt(forgetAtMs, momentOf(this.#clock));
    this.#merge(tenantKey(tenant), { kind: "tenant", epoch: 0, issuedBefore: 0, forgetAt });
  }

  /** An entry of an unknown tenant could not be read: nothing is certain until `untilMs`. */
  markAllUncertain(untilMs: number): void {
    const until = deadlineAt(untilMs, momentOf(this.#clock));
    this.#unreadableUntil = laterOf(this.#unreadableUntil, until);
  }

  /** What is known about a token's session and user; changes nothing. */
  lookUp(tenant: string, user: string, session: string): KnownRevocations {
    const held = this.#held.peek(userKey(tenant, user));
    return {
      sessionRevoked: this.#held.peek(sessionKey(tenant, session)) !== undefined,
      epoch: held?.epoch ?? 0,
      issuedBefore: held?.issuedBefore ?? 0,
      uncertainty: this.#uncertaintyOf(tenant),
    };
  }

  get saturated(): boolean {
    const until = this.#saturatedUntil;
    return until !== undefined && !hasPassed(until, momentOf(this.#clock));
  }

  /** Whether an entry that may still matter could not be read. */
  get unreadable(): boolean {
    const now = momentOf(this.#clock);
    return this.#counts.tenant > 0 || this.#isPending(this.#unreadableUntil, now);
  }

  /** How many keys of each kind are held. */
  get counts(): Readonly<Record<EntryKind, number>> {
    return this.#counts;
  }

  /** Forgets what can no longer matter; looks at a bounded number of entries, oldest first. */
  forgetPassed(): void {
    const now = momentOf(this.#clock);
    const passed: string[] = [];
    for (const key of this.#held.rkeys()) {
      const held = this.#held.peek(key);
      if (held === undefined || !hasPassed(held.forgetAt, now)) break;
      passed.push(key);
      if (passed.length >= FORGET_BATCH_MAX) break;
    }
    for (const key of passed) this.#held.delete(key);
  }

  #merge(key: string, added: Held): void {
    const known = this.#held.peek(key);
    if (known === undefined) this.#counts[added.kind] += 1;
    this.#held.set(key, {
      kind: added.kind,
      epoch: Math.max(known?.epoch ?? 0, added.epoch),
      issuedBefore: Math.max(known?.issuedBefore ?? 0, added.issuedBefore),
      forgetAt: laterOf(known?.forgetAt, added.forgetAt),
    });
  }

  #disposed(held: Held, reason: LRUCache.DisposeReason): void {
    if (reason === "set") return;
    this.#counts[held.kind] -= 1;
    if (reason !== "evict" || hasPassed(held.forgetAt, momentOf(this.#clock))) return;
    this.#saturatedUntil = laterOf(this.#saturatedUntil, held.forgetAt);
  }

  #uncertaintyOf(tenant: string): KnownRevocations["uncertainty"] {
    if (this.#unreadableUntil === undefined && this.#saturatedUntil === undefined) {
      if (this.#counts.tenant === 0) return undefined;
    }
    const now = momentOf(this.#clock);
    if (this.#isPending(this.#unreadableUntil, now)) return "unreadable_entry";
    if (this.#isPending(this.#held.peek(tenantKey(tenant))?.forgetAt, now)) {
      return "unreadable_entry";
    }
    return this.#isPending(this.#saturatedUntil, now) ? "saturated" : undefined;
  }

  #isPending(deadline: Deadline | undefined, now: Moment): boolean {
    return deadline !== undefined && !hasPassed(deadline, now);
  }
}
