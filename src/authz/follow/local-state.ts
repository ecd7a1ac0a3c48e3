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
 * Entries are kept in the order in which they were applied, so the one that is evicted is the one that
 * would be forgotten next. A check changes nothing.
 */
import { randomBytes } from "node:crypto";
import { momentOf, type Clock, type Moment } from "../../runtime/clock.js";
import { deadlineAt, hasPassed, laterOf, type Deadline } from "../../runtime/deadline.js";
import type { Revocation } from "../../revocation-log/entry.js";
import type { TokenNames } from "../../tokens/access-token.js";
import { EntryTable, NONE } from "./entry-table.js";
import { HalfSipHash } from "./half-sip-hash.js";

/** `tenant`: one that is uncertain; `tenant_cutoff`: one of which a cut-off is known. */
const ENTRY_KINDS = [
  "session",
  "user",
  "tenant",
  "token",
  "client",
  "key",
  "tenant_cutoff",
] as const;

export type EntryKind = (typeof ENTRY_KINDS)[number];

export const NO_ENTRIES: Readonly<Record<EntryKind, number>> = {
  session: 0,
  user: 0,
  tenant: 0,
  token: 0,
  client: 0,
  key: 0,
  tenant_cutoff: 0,
};

/** A kind's place in `ENTRY_KINDS`. */
const KIND_NUMBERS: Readonly<Record<EntryKind, number>> = {
  session: 0,
  user: 1,
  tenant: 2,
  token: 3,
  client: 4,
  key: 5,
  tenant_cutoff: 6,
};

/** What is known about one token: each fact is a reason of its own to refuse it. */
export interface KnownRevocations {
  readonly sessionRevoked: boolean;
  /** The highest epoch known of the user; 0 if none. */
  readonly epoch: number;
  /** Tokens of the user issued before this (Unix seconds) are revoked; 0 if there is no cut-off. */
  readonly issuedBefore: number;
  readonly tokenRevoked: boolean;
  /** The same for the tokens of the OAuth client, of the tenant, and for all tokens. */
  readonly clientIssuedBefore: number;
  readonly keyRevoked: boolean;
  readonly tenantIssuedBefore: number;
  readonly allIssuedBefore: number;
  /** Why a key that is not held may still be revoked; undefined: it is not. */
  readonly uncertainty: "saturated" | "unreadable_entry" | undefined;
}

/** How many entries one call to `forgetPassed` looks at, at the most. */
const FORGET_BATCH_MAX = 256;

/** In place of a tenant's id, none of which is empty. */
const ALL_TENANTS = "";

export class LocalState {
  readonly #clock: Clock;
  readonly #maxEntries: number;
  readonly #hash: HalfSipHash;
  readonly #held = new EntryTable();
  readonly #counts: Record<EntryKind, number> = { ...NO_ENTRIES };
  /** The cut-off of all tokens takes no place in the bounded memory. */
  #all: { readonly issuedBefore: number; readonly forgetAt: Deadline } | undefined;
  #saturatedUntil: Deadline | undefined;
  #unreadableUntil: Deadline | undefined;

  /** `maxEntries`: of all kinds together. `hashKey`: 8 random bytes, kept secret. */
  constructor(maxEntries: number, clock: Clock, hashKey: Uint8Array = randomBytes(8)) {
    this.#maxEntries = maxEntries;
    this.#clock = clock;
    this.#hash = new HalfSipHash(hashKey);
  }

  /** Takes in one revocation; `forgetAtMs` is Unix milliseconds. */
  apply(revocation: Revocation, forgetAtMs: number): void {
    const forgetAt = deadlineAt(forgetAtMs, momentOf(this.#clock));
    switch (revocation.kind) {
      case "session_revoked":
        this.#hold("session", [revocation.tenant, revocation.session], forgetAt);
        return;
      case "user_revoked": {
        const { tenant, user, epoch, issuedBefore } = revocation;
        this.#hold("user", [tenant, user], forgetAt, { epoch, issuedBefore });
        return;
      }
      case "token_revoked": {
        const { tenant, issuer, jti, signedDigest } = revocation;
        if (jti !== undefined) this.#hold("token", [tenant, issuer, jti], forgetAt);
        if (signedDigest !== undefined) {
          this.#hold("token", [tenant, signedDigest], forgetAt);
        }
        return;
      }
      case "client_revoked": {
        const { tenant, client, issuedBefore } = revocation;
        this.#hold("client", [tenant ?? ALL_TENANTS, client], forgetAt, { issuedBefore });
        return;
      }
      case "key_revoked":
        this.#hold("key", [revocation.issuer, revocation.thumbprint], forgetAt);
        return;
      case "tenant_revoked": {
        const { tenant, issuedBefore } = revocation;
        this.#hold("tenant_cutoff", [tenant], forgetAt, { issuedBefore });
        return;
      }
      case "all_revoked":
        this.#all = {
          issuedBefore: Math.max(this.#all?.issuedBefore ?? 0, revocation.issuedBefore),
          forgetAt: laterOf(this.#all?.forgetAt, forgetAt),
        };
    }
  }

  /** An entry of this tenant could not be read: nothing of it is certain until `forgetAtMs`. */
  markTenantUncertain(tenant: string, forgetAtMs: number): void {
    const forgetAt = deadlineAt(forgetAtMs, momentOf(this.#clock));
    this.#hold("tenant", [tenant], forgetAt);
  }

  /** An entry of an unknown tenant could not be read: nothing is certain until `untilMs`. */
  markAllUncertain(untilMs: number): void {
    const until = deadlineAt(untilMs, momentOf(this.#clock));
    this.#unreadableUntil = laterOf(this.#unreadableUntil, until);
  }

  /**
   * What is known about a token; changes nothing. It runs in every check: a kind of which nothing is
   * held costs no look-up.
   */
  lookUp(token: TokenNames): KnownRevocations {
    const { tenant } = token;
    const counts = this.#counts;
    const held = this.#held;
    const user = counts.user > 0 ? this.#find("user", [tenant, token.user]) : NONE;
    return {
      sessionRevoked: counts.session > 0 && this.#holds("session", [tenant, token.session]),
      epoch: user === NONE ? 0 : held.epochOf(user),
      issuedBefore: user === NONE ? 0 : held.issuedBeforeOf(user),
      tokenRevoked: counts.token > 0 && this.#isTokenRevoked(token),
      clientIssuedBefore: counts.client > 0 ? this.#clientIssuedBefore(token) : 0,
      keyRevoked: counts.key > 0 && this.#holds("key", [token.issuer, token.keyThumbprint]),
      tenantIssuedBefore:
        counts.tenant_cutoff > 0 ? this.#issuedBeforeOf("tenant_cutoff", [tenant]) : 0,
      allIssuedBefore: this.#all?.issuedBefore ?? 0,
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
    if (this.#all !== undefined && hasPassed(this.#all.forgetAt, now)) this.#all = undefined;
    for (let looked = 0; looked < FORGET_BATCH_MAX; looked += 1) {
      const { oldest } = this.#held;
      if (oldest === NONE || !hasPassed(this.#held.forgetAtOf(oldest), now)) return;
      this.#remove(oldest);
    }
  }

  #isTokenRevoked({ tenant, issuer, jti, signedDigest }: TokenNames): boolean {
    if (this.#holds("token", [tenant, signedDigest])) return true;
    return jti !== undefined && this.#holds("token", [tenant, issuer, jti]);
  }

  #clientIssuedBefore({ tenant, client }: TokenNames): number {
    if (client === undefined) return 0;
    const inTenant = this.#issuedBeforeOf("client", [tenant, client]);
    return Math.max(inTenant, this.#issuedBeforeOf("client", [ALL_TENANTS, client]));
  }

  #issuedBeforeOf(kind: EntryKind, names: readonly string[]): number {
    const entry = this.#find(kind, names);
    return entry === NONE ? 0 : this.#held.issuedBeforeOf(entry);
  }

  #holds(kind: EntryKind, names: readonly string[]): boolean {
    return this.#find(kind, names) !== NONE;
  }

  /** Leaves the hash of what it looked for in `#hash`. */
  #find(kind: EntryKind, names: readonly string[]): number {
    const number = KIND_NUMBERS[kind];
    this.#hash.of(number, names);
    return this.#held.find(number, this.#hash.low, this.#hash.high);
  }

  #hold(
    kind: EntryKind,
    names: readonly string[],
    forgetAt: Deadline,
    {
      epoch = 0,
      issuedBefore = 0,
    }: { epoch?: number | undefined; issuedBefore?: number | undefined } = {},
  ): void {
    const held = this.#held;
    const known = this.#find(kind, names);
    if (known !== NONE) {
      held.refresh(known);
      held.setValues(known, {
        epoch: Math.max(held.epochOf(known), epoch),
        issuedBefore: Math.max(held.issuedBeforeOf(known), issuedBefore),
        forgetAt: laterOf(held.forgetAtOf(known), forgetAt),
      });
      return;
    }
    if (held.size >= this.#maxEntries) this.#evict(held.oldest);
    const added = held.add(KIND_NUMBERS[kind], this.#hash.low, this.#hash.high);
    held.setValues(added, { epoch, issuedBefore, forgetAt });
    this.#counts[kind] += 1;
  }

  #evict(entry: number): void {
    const forgetAt = this.#held.forgetAtOf(entry);
    if (!hasPassed(forgetAt, momentOf(this.#clock))) {
      this.#saturatedUntil = laterOf(this.#saturatedUntil, forgetAt);
    }
    this.#remove(entry);
  }

  #remove(entry: number): void {
    const kind = ENTRY_KINDS[this.#held.kindOf(entry)];
    if (kind !== undefined) this.#counts[kind] -= 1;
    this.#held.remove(entry);
  }

  #uncertaintyOf(tenant: string): KnownRevocations["uncertainty"] {
    if (this.#unreadableUntil === undefined && this.#saturatedUntil === undefined) {
      if (this.#counts.tenant === 0) return undefined;
    }
    const now = momentOf(this.#clock);
    if (this.#isPending(this.#unreadableUntil, now)) return "unreadable_entry";
    const uncertain = this.#counts.tenant > 0 ? this.#find("tenant", [tenant]) : NONE;
    if (uncertain !== NONE && this.#isPending(this.#held.forgetAtOf(uncertain), now)) {
      return "unreadable_entry";
    }
    return this.#isPending(this.#saturatedUntil, now) ? "saturated" : undefined;
  }

  #isPending(deadline: Deadline | undefined, now: Moment): boolean {
    return deadline !== undefined && !hasPassed(deadline, now);
  }
}
