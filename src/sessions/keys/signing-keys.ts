import { randomUUID } from "node:crypto";
import { type Clock, elapsedAtLeastMs, type Moment, momentOf } from "../../runtime/clock.js";
import type { AccessToken } from "../../tokens/access-token.js";
import { mintAccessToken, type TokenFacts } from "../../tokens/access-token-mint.js";
import type { CurrentKeys } from "../../tokens/issuer-keys.js";
import type { Algorithm } from "../../tokens/algorithms.js";
import { OwnTokenVerification } from "../../tokens/own-token-verification.js";
import { PeriodicTask } from "../../runtime/periodic-task.js";
import type { Schedule } from "../../runtime/schedule.js";
import { type KeySecrets, requireSecrets } from "./key-encryption.js";
import { generateSigningKey } from "./key-generation.js";
import {
  faultOfSchedule,
  maySign,
  type RotationSchedule,
  signingKeyAt,
  successorOf,
} from "./key-rotation.js";
import type { PublicJwk } from "./public-jwk.js";
import { type ReadableKey, readStoredKeys } from "./readable-key.js";
import { changesNeeded, decideChanges } from "./signing-key-changes.js";
import { SigningKeyError } from "./signing-key-error.js";
import type { SigningKeyStore } from "./signing-key-store.js";

export type { TokenFacts } from "../../tokens/access-token-mint.js";

/*
 * The keys of this instance: what it last read from the database, and never a key that it generated
 * but did not find there. Every reload reads the stored keys, changes them if rotation is due
 * (the first instance does it, the others find nothing to do), and uses the result.
 *
 *   state          mint, verify, jwks           what happens next
 *   nothing read   `no_key`                     the caller calls start() again
 *   keys in use    with them                    a reload every minute
 *   reload failed  with those read last         a reload every 5 s, until one succeeds
 *
 * A failed reload takes nothing away. But a key whose time has passed does not sign for ever,
 * because another instance may have replaced it (`key-rotation.ts`).
 */

export const REFRESH_MS = 60_000;
export const RETRY_MS = 5_000;
/** Delays are shortened by up to this share, so that instances started together drift apart. */
export const JITTER_SHARE = 0.2;
/** Any client can send a token with an invented `kid`. */
export const UNKNOWN_KID_RELOAD_MIN_MS = 5_000;

export interface AccessTokenMint {
  /** Rejects with a SigningKeyError `no_key` if there is no key to sign with. */
  mint(facts: TokenFacts): Promise<{ readonly token: string; readonly expiresInS: number }>;
}

export interface OwnTokenVerifier {
  /**
   * The token's claims if it is valid: form, signature, issuer, audience, times. Does not check
   * revocation. undefined for a refused token; rejects with a SigningKeyError if that cannot be
   * decided (`no_key`, `overloaded`).
   */
  verify(token: string): Promise<AccessToken | undefined>;
}

export interface SigningKeysOptions extends RotationSchedule, KeySecrets {
  readonly store: SigningKeyStore;
  readonly clock: Clock;
  readonly issuer: string;
  readonly audience: string;
  /** For keys created from now on; existing ones keep theirs. */
  readonly algorithm?: Algorithm;
  /** Called after each reload, with the problem of one that failed. */
  readonly onReload?: (problem: string | undefined) => void;
  readonly schedule?: Schedule;
  /** From 0 to 1, for the jitter. */
  readonly random?: () => number;
}

export interface SigningKeysStatus {
  /** Every published key, in the order in which they sign. */
  readonly keys: readonly {
    readonly kid: string;
    readonly ageMs: number;
    readonly use: "signs" | "published" | "verifies";
  }[];
  /** How long the signing key has been signing; undefined without one. */
  readonly signingAgeMs: number | undefined;
  /** Unix milliseconds at which the next key will sign. */
  readonly nextRotationAtMs: number | undefined;
  /** Since the stored keys were last read. */
  readonly seenAgeMs: number | undefined;
  /** Of the last reload, in one line; undefined if it succeeded. */
  readonly lastProblem: string | undefined;
}

export class SigningKeys implements AccessTokenMint, OwnTokenVerifier {
  readonly #options: SigningKeysOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #verification: OwnTokenVerification;
  readonly #task: PeriodicTask;
  #keys: readonly ReadableKey[] = [];
  #current: CurrentKeys | undefined;
  #seenAt: Moment | undefined;
  #lastProblem: string | undefined;
  #reloading: Promise<void> | undefined;
  #unknownKidAtMs = Number.NEGATIVE_INFINITY;

  /** @throws {SigningKeyError} `secret_malformed`, `schedule_impossible` */
  constructor(options: SigningKeysOptions) {
    requireSecrets(options);
    const fault = faultOfSchedule(options);
    if (fault !== undefined) throw new SigningKeyError("schedule_impossible", fault);
    this.#options = options;
    this.#clock = options.clock;
    this.#task = new PeriodicTask(() => this.#reloadAgain(), options.schedule);
    this.#random = options.random ?? Math.random;
    this.#verification = new OwnTokenVerification({
      issuer: options.issuer,
      audience: options.audience,
      limits: { clockSkewS: options.skewS, maxTokenLifetimeS: options.tokenLifetimeS },
      keys: { current: () => this.#current, noteUnknownKid: () => undefined },
    });
  }

  /**
   * Reads the stored keys, creates the first one if there is none, and keeps reading until `close`.
   * Rejects with a DatabaseError or a SigningKeyError (`wrong_secret`, `key_unreadable`); may then
   * be called again.
   */
  async start(): Promise<void> {
    await this.#reload();
    void this.#task.start(this.#nextDelayMs());
  }

  /** Resolves when nothing uses the database any more. The loaded keys stay in use. */
  async close(): Promise<void> {
    await this.#task.close();
    await this.#reloading?.catch(() => undefined);
  }

  async mint(facts: TokenFacts): Promise<{ readonly token: string; readonly expiresInS: number }> {
    const { issuer, audience, tokenLifetimeS: lifetimeS } = this.#options;
    const terms = { issuer, audience, lifetimeS };
    const token = await mintAccessToken(facts, this.#signingKey(), terms, randomUUID());
    return { token, expiresInS: lifetimeS };
  }

  async verify(token: string): Promise<AccessToken | undefined> {
    const nowS = (): number => this.#clock.wallMs() / 1000;
    let outcome = await this.#verification.verify(token, nowS);
    if (!outcome.good && outcome.reason === "token_key_unknown" && (await this.#lookForKid())) {
      outcome = await this.#verification.verify(token, nowS);
    }
    if (outcome.good) return outcome.token;
    if (outcome.reason === "keys_unavailable") throw nothingRead();
    if (outcome.reason === "overloaded") {
      throw new SigningKeyError("overloaded", "too many tokens are waiting to be verified");
    }
    return undefined;
  }

  /**
   * The public keys as a JWK Set (RFC 7517, section 5).
   *
   * @throws {SigningKeyError} `no_key` until keys were read: an empty set would be wrong
   */
  jwks(): { readonly keys: readonly PublicJwk[] } {
    if (this.#keys.length === 0) throw nothingRead();
    return { keys: this.#keys.map(({ publicJwk }) => publicJwk) };
  }

  status(): SigningKeysStatus {
    const nowMs = this.#clock.wallMs();
    const signing = signingKeyAt(this.#keys, nowMs);
    const fromMs = signing?.signsFromMs ?? 0;
    return {
      keys: this.#keys.map(({ kid, createdAtMs, signsFromMs }) => ({
        kid,
        ageMs: nowMs - createdAtMs,
        use: kid === signing?.kid ? "signs" : signsFromMs > fromMs ? "published" : "verifies",
      })),
      signingAgeMs: signing && nowMs - fromMs,
      nextRotationAtMs:
        signing && (successorOf(this.#keys, signing)?.signsFromMs ?? signing.signsUntilMs),
      seenAgeMs: this.#seenAgeMs(),
      lastProblem: this.#lastProblem,
    };
  }

  #signingKey() {
    const nowMs = this.#clock.wallMs();
    const key = signingKeyAt(this.#keys, nowMs);
    const seenAgeMs = this.#seenAgeMs();
    if (key === undefined || seenAgeMs === undefined) throw nothingRead();
    if (!maySign(key, nowMs, seenAgeMs, this.#options)) {
      const message = `the signing key has expired, and its successor could not be read from the database for ${Math.round(seenAgeMs / 1000)} s`;
      throw new SigningKeyError("no_key", message);
    }
    return key.minting;
  }

  #seenAgeMs(): number | undefined {
    return this.#seenAt && elapsedAtLeastMs(this.#seenAt, momentOf(this.#clock));
  }

  /** Reloads for an unknown `kid`, unless that was just done. Whether the reload succeeded. */
  async #lookForKid(): Promise<boolean> {
    if (this.#task.closed) return false;
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#unknownKidAtMs >= UNKNOWN_KID_RELOAD_MIN_MS) this.#unknownKidAtMs = nowMs;
    // Callers during a reload share it.
    else if (this.#reloading === undefined) return false;
    return this.#reload().then(
      () => true,
      () => false,
    );
  }

  async #reloadAgain(): Promise<number> {
    await this.#reload().catch(() => undefined);
    return this.#nextDelayMs();
  }

  #nextDelayMs(): number {
    const delayMs = this.#lastProblem === undefined ? REFRESH_MS : RETRY_MS;
    return Math.round(delayMs * (1 - JITTER_SHARE * this.#random()));
  }

  /** One at a time; callers during a reload share it. */
  #reload(): Promise<void> {
    this.#reloading ??= this.#loadAndRotate()
      .then(
        () => this.#note(undefined),
        (error: unknown) => {
          this.#note(error instanceof Error ? error.message : "the signing keys could not be read");
          throw error;
        },
      )
      .finally(() => (this.#reloading = undefined));
    return this.#reloading;
  }

  #note(problem: string | undefined): void {
    this.#lastProblem = problem;
    this.#options.onReload?.(problem);
  }

  async #loadAndRotate(): Promise<void> {
    const options = this.#options;
    const seenAt = momentOf(this.#clock);
    // With a wrong secret this throws: no key is created that the others cannot read.
    const keys = await readStoredKeys(await options.store.load(), this.#keys, options);
    this.#use(keys, seenAt);
    const needed = changesNeeded(keys, this.#clock.wallMs(), options);
    if (!needed.any) return;
    // Before the transaction, to keep that short.
    const { algorithm = "ES256" } = options;
    const generated = needed.create ? await generateSigningKey(algorithm) : undefined;
    const changeAt = momentOf(this.#clock);
    const nowMs = changeAt.wallMs;
    const stored = await options.store.change(nowMs, (locked) =>
      decideChanges({ locked, read: keys, generated, nowMs }, options),
    );
    this.#use(await readStoredKeys(stored, this.#keys, options), changeAt);
  }

  #use(keys: readonly ReadableKey[], seenAt: Moment): void {
    if (keys.length === 0) return;
    const sameKids =
      keys.length === this.#keys.length &&
      keys.every(({ kid }) => this.#current?.find(kid) !== undefined);
    this.#keys = keys;
    this.#seenAt = seenAt;
    if (sameKids) return;
    const byKid = new Map(keys.map(({ kid, verification }) => [kid, verification]));
    const generation = (this.#current?.generation ?? 0) + 1;
    this.#current = { generation, find: (kid) => byKid.get(kid) };
  }
}

function nothingRead(): SigningKeyError {
  return new SigningKeyError("no_key", "no signing key has been read from the database yet");
}
