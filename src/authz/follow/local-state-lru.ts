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
import type { TokenNames } from "../../tokens/access-token.js";

/** `tenant`: one that is uncertain; `tenant_cutoff`: one of which a cut-off is known. */
export type EntryKind =
  "session" | "user" | "tenant" | "token" | "client" | "key" | "tenant_cutoff";

export const NO_ENTRIES: Readonly<Record<EntryKind, number>> = {
  session: 0,
  user: 0,
  tenant: 0,
  token: 0,
  client: 0,
  key: 0,
  tenant_cutoff: 0,
};

interface Held {
  readonly kind: EntryKind;
  readonly epoch: number;
  readonly issuedBefore: number;
  readonly forgetAt: Deadline;
}

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

// Ids contain no control characters, so a NUL between them makes every key unambiguous.
const sessionKey = (tenant: string, session: string): string => `s\0${tenant}\0${session}`;
const userKey = (tenant: string, user: string): string => `u\0${tenant}\0${user}`;
const tenantKey = (tenant: string): string => `t\0${tenant}`;
const jtiKey = (tenant: string, issuer: string, jti: string): string =>
  `j\0${tenant}\0${issuer}\0${jti}`;
const digestKey = (tenant: string, digest: string): string => `d\0${tenant}\0${digest}`;
/** No id is empty, so an empty tenant stands for all of them. */
const clientKey = (tenant: string | undefined, client: string): string =>
  `c\0${tenant ?? ""}\0${client}`;
const issuingKey = (issuer: string, thumbprint: string): string => `k\0${issuer}\0${thumbprint}`;
const tenantCutOffKey = (tenant: string): string => `x\0${tenant}`;

export class LocalState {
  readonly #clock: Clock;
  readonly #held: LRUCache<string, Held>;
  readonly #counts: Record<EntryKind, number> = { ...NO_ENTRIES };
  /** The cut-off of all tokens takes no place in the bounded memory. */
  #all: { readonly issuedBefore: number; readonly forgetAt: Deadline } | undefined;
  #saturatedUntil: Deadline | undefined;
  #unreadableUntil: Deadline | undefined;

  /** `maxEntries`: of all kinds together. */
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
    switch (revocation.kind) {
      case "session_revoked":
        this.#hold("session", sessionKey(revocation.tenant, revocation.session), forgetAt);
        return;
      case "user_revoked": {
        const { tenant, user, epoch, issuedBefore } = revocation;
        this.#hold("user", userKey(tenant, user), forgetAt, { epoch, issuedBefore });
        return;
      }
      case "token_revoked": {
        const { tenant, issuer, jti, signedDigest } = revocation;
        if (jti !== undefined) this.#hold("token", jtiKey(tenant, issuer, jti), forgetAt);
        if (signedDigest !== undefined) {
          this.#hold("token", digestKey(tenant, signedDigest), forgetAt);
        }
        return;
      }
      case "client_revoked": {
        const { tenant, client, issuedBefore } = revocation;
        this.#hold("client", clientKey(tenant, client), forgetAt, { issuedBefore });
        return;
      }
      case "key_revoked":
        this.#hold("key", issuingKey(revocation.issuer, revocation.thumbprint), forgetAt);
        return;
      case "tenant_revoked": {
        const { tenant, issuedBefore } = revocation;
        this.#hold("tenant_cutoff", tenantCutOffKey(tenant), forgetAt, { issuedBefore });
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
    this.#hold("tenant", tenantKey(tenant), forgetAt);
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
    const user = this.#held.peek(userKey(tenant, token.user));
    return {
      sessionRevoked: this.#held.has(sessionKey(tenant, token.session)),
      epoch: user?.epoch ?? 0,
      issuedBefore: user?.issuedBefore ?? 0,
      tokenRevoked: counts.token > 0 && this.#isTokenRevoked(token),
      clientIssuedBefore: counts.client > 0 ? this.#clientIssuedBefore(token) : 0,
      keyRevoked: counts.key > 0 && this.#held.has(issuingKey(token.issuer, token.keyThumbprint)),
      tenantIssuedBefore:
        counts.tenant_cutoff > 0 ? this.#issuedBeforeOf(tenantCutOffKey(tenant)) : 0,
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
    const passed: string[] = [];
    for (const key of this.#held.rkeys()) {
      const held = this.#held.peek(key);
      if (held === undefined || !hasPassed(held.forgetAt, now)) break;
      passed.push(key);
      if (passed.length >= FORGET_BATCH_MAX) break;
    }
    for (const key of passed) this.#held.delete(key);
  }

  #isTokenRevoked({ tenant, issuer, jti, signedDigest }: TokenNames): boolean {
    if (this.#held.has(digestKey(tenant, signedDigest))) return true;
    return jti !== undefined && this.#held.has(jtiKey(tenant, issuer, jti));
  }

  #clientIssuedBefore({ tenant, client }: TokenNames): number {
    if (client === undefined) return 0;
    const inTenant = this.#issuedBeforeOf(clientKey(tenant, client));
    return Math.max(inTenant, this.#issuedBeforeOf(clientKey(undefined, client)));
  }

  #issuedBeforeOf(key: string): number {
    return this.#held.peek(key)?.issuedBefore ?? 0;
  }

  #hold(
    kind: EntryKind,
    key: string,
    forgetAt: Deadline,
    {
      epoch = 0,
      issuedBefore = 0,
    }: { epoch?: number | undefined; issuedBefore?: number | undefined } = {},
  ): void {
    const known = this.#held.peek(key);
    if (known === undefined) this.#counts[kind] += 1;
    this.#held.set(key, {
      kind,
      epoch: Math.max(known?.epoch ?? 0, epoch),
      issuedBefore: Math.max(known?.issuedBefore ?? 0, issuedBefore),
      forgetAt: laterOf(known?.forgetAt, forgetAt),
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
