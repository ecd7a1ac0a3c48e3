/**
 * A login: from a password to a session.
 *
 * 1. the limits; 2. look up the account and whether the login is locked, without locks; 3. verify
 * the password outside any transaction, because it takes long (against a dummy hash if there is no
 * account, so that both take the same time); 4. one transaction opens the session, after checking
 * again under the user's lock; 5. mint.
 *
 * Step 4 takes the token's `iat` first, then the lock, then the epoch. A revocation that had the
 * lock earlier is seen; one that gets it later raises the epoch above the token's and ends the
 * session. Either way the token does not escape it.
 *
 * If there is no signing key in step 5, the session is ended again; the client got no token of it.
 */
import type { Clock } from "../../runtime/clock.js";
import type { Database } from "../database/database.js";
import type { AccessTokenMint } from "../keys/signing-keys.js";
import type { LimitName, LoginLimits } from "../limits/login-limits.js";
import { PasswordHasherError, type PasswordHasher } from "../passwords/password-hasher.js";
import { findAccount, type Account, type FoundAccount } from "./account-sql.js";
import type { IssuedTokens } from "./issued-tokens.js";
import { countFailure, readFailures } from "./lockout-sql.js";
import { lockedForS, type LockoutSettings } from "./lockout.js";
import { accountLocked, loginRefused, transactionWithTrail } from "./login-audit.js";
import {
  openSession,
  type OpenedSession,
  type Opening,
  type VerifiedAccount,
} from "./login-opening.js";
import type { LoginObserver, LoginRefusal } from "./observers.js";
import { scopesOf } from "./scopes.js";
import type { SessionLimits } from "./session-limits.js";
import { abandonSession } from "./session-sql.js";
import { faultOf } from "./system-fault.js";

export interface LoginDependencies {
  readonly db: Database;
  readonly clock: Clock;
  readonly hasher: Pick<PasswordHasher, "verify" | "needsRehash" | "hash">;
  readonly limits: Pick<LoginLimits, "admit" | "succeeded">;
  readonly mint: AccessTokenMint;
  /** Cryptographically secure. */
  readonly randomBytes: (size: number) => Uint8Array;
  /** A new UUID for each revocation. */
  readonly newEventId: () => string;
  readonly options: SessionLimits & { readonly lockout: LockoutSettings };
  readonly observer: LoginObserver;
}

/** Tenant and login are identifiers; the device's name has 256 characters at most. */
export interface LoginRequest {
  readonly tenant: string;
  readonly login: string;
  readonly password: string;
  readonly deviceName: string;
  readonly address: string;
}

export type LoginOutcome =
  | { readonly kind: "opened"; readonly tokens: IssuedTokens }
  /** `retryAfterS`: set for a locked account. */
  | { readonly kind: "refused"; readonly code: LoginRefusal; readonly retryAfterS?: number }
  | { readonly kind: "limited"; readonly limit: LimitName; readonly retryAfterS: number };

/**
 * How often it starts again because the password was changed or rehashed while it was verified.
 * Each turn hashes once; a user who changes a password three times in a second has to log in again.
 */
const TURNS_MAX = 3;

/** Rejects where the system is at fault: DatabaseError, PasswordHasherError, SigningKeyError. */
export async function login(
  dependencies: LoginDependencies,
  request: LoginRequest,
): Promise<LoginOutcome> {
  try {
    const outcome = await attempt(dependencies, request);
    observe(dependencies.observer, outcome, request);
    return outcome;
  } catch (error) {
    await recordFault(dependencies, request, error);
    throw error;
  }
}

async function attempt(
  dependencies: LoginDependencies,
  request: LoginRequest,
): Promise<LoginOutcome> {
  const admission = await dependencies.limits.admit(request);
  if (!admission.admitted) {
    return { kind: "limited", limit: admission.limit, retryAfterS: admission.retryAfterS };
  }
  for (let turn = 1; ; turn += 1) {
    const found = await lookUp(dependencies, request);
    if (found.lockedForS !== undefined) {
      return refuseLocked(dependencies, request, found, found.lockedForS);
    }
    const account = await verified(dependencies, request, found.account);
    if (account === undefined) return refuseBad(dependencies, request, found);
    const rehashed = await hashAnew(dependencies, request.password, account);
    const opened = await open(dependencies, request, { ...account, rehashed });
    if (opened.kind === "opened")
      return { kind: "opened", tokens: await issue(dependencies, opened) };
    if (opened.kind === "refused") return opened;
    if (turn === TURNS_MAX) return refuseBad(dependencies, request, found);
  }
}

interface LookedUp extends FoundAccount {
  readonly lockedForS: number | undefined;
}

async function lookUp(
  { db, clock }: LoginDependencies,
  { tenant, login: tried }: LoginRequest,
): Promise<LookedUp> {
  return db.transaction({ role: "tenant", tenant }, async (queries) => {
    const failures = await readFailures(queries, { tenant, login: tried });
    const found = await findAccount(queries, { tenant, login: tried });
    return { ...found, lockedForS: lockedForS(failures, clock.wallMs()) };
  });
}

/** A used one-time password counts as wrong, and takes as long as any other. */
async function verified(
  { hasher }: LoginDependencies,
  { password }: LoginRequest,
  account: Account | undefined,
): Promise<Account | undefined> {
  const isRight = await hasher.verify(account?.credential.passwordHash, password);
  return isRight && account?.credential.used === false ? account : undefined;
}

/** undefined: the hash is up to date, or hashing is overloaded, and the next login will rehash. */
async function hashAnew(
  { hasher }: LoginDependencies,
  password: string,
  { credential }: Account,
): Promise<string | undefined> {
  if (credential.oneTime || !hasher.needsRehash(credential.passwordHash)) return undefined;
  try {
    return await hasher.hash(password);
  } catch (error) {
    if (error instanceof PasswordHasherError) return undefined;
    throw error;
  }
}

async function open(
  dependencies: LoginDependencies,
  request: LoginRequest,
  account: VerifiedAccount,
): Promise<Opening> {
  const { tenant } = request;
  const opening = await dependencies.db.transaction({ role: "tenant", tenant }, (queries) =>
    openSession(queries, dependencies, request, account),
  );
  if (opening.kind !== "changed_meanwhile") await dependencies.limits.succeeded(request);
  return opening;
}

async function issue(
  dependencies: LoginDependencies,
  opened: OpenedSession,
): Promise<IssuedTokens> {
  const { tenant, user, session, epoch, role, passwordChangeOnly, refreshToken } = opened;
  const scopes = scopesOf(role, passwordChangeOnly);
  try {
    const { issuedAtS, passwordChangeOnly: forServiceOnly } = opened;
    const facts = { tenant, user, session, epoch, scopes, issuedAtS, forServiceOnly };
    const { token: accessToken, expiresInS } = await dependencies.mint.mint(facts);
    return { accessToken, expiresInS, refreshToken, sessionId: session, passwordChangeOnly };
  } catch (error) {
    // If even this fails, an open session without any token remains; it expires.
    const nowMs = dependencies.clock.wallMs();
    await dependencies.db
      .transaction({ role: "tenant", tenant }, (queries) =>
        abandonSession(queries, { tenant, session }, nowMs),
      )
      .catch(() => undefined);
    throw error;
  }
}

async function refuseLocked(
  { db, clock }: LoginDependencies,
  request: LoginRequest,
  { tenantKnown, account }: FoundAccount,
  retryAfterS: number,
): Promise<LoginOutcome> {
  const refused = { reason: "account_locked", atMs: clock.wallMs() };
  const entries = [loginRefused(request, account?.user, refused)];
  await transactionWithTrail(db, request.tenant, () =>
    Promise.resolve({ result: undefined, entries, tenantKnown }),
  );
  return { kind: "refused", code: "account_locked", retryAfterS };
}

/** Counts the failure. If the login was locked meanwhile, the answer says so, right or wrong. */
async function refuseBad(
  { db, clock, options, observer }: LoginDependencies,
  request: LoginRequest,
  { tenantKnown, account }: FoundAccount,
): Promise<LoginOutcome> {
  const { tenant } = request;
  const counted = await transactionWithTrail(db, tenant, async (queries) => {
    const atMs = clock.wallMs();
    const result = await countFailure(queries, request, atMs, options.lockout);
    const reason = result.kind === "locked" ? "account_locked" : "bad_credentials";
    const entries = [loginRefused(request, account?.user, { reason, atMs })];
    if (result.kind === "counted" && result.lockedNow) {
      entries.push(accountLocked(request, account?.user, atMs));
    }
    return { result, entries, tenantKnown };
  });
  if (counted.kind === "locked") {
    return { kind: "refused", code: "account_locked", retryAfterS: counted.retryAfterS };
  }
  if (counted.lockedNow) observer.onLockout({ tenant, address: request.address });
  return { kind: "refused", code: "bad_credentials" };
}

/** A fault of the system; also recorded in the audit trail, if the database is available. */
async function recordFault(
  { db, clock, observer }: LoginDependencies,
  request: LoginRequest,
  error: unknown,
): Promise<void> {
  const fault = faultOf(error);
  observer.onLogin("failed", fault);
  if (fault === "database") return;
  const failed = { reason: fault, atMs: clock.wallMs() };
  await transactionWithTrail(db, request.tenant, async (queries) => {
    const { tenantKnown, account } = await findAccount(queries, request);
    const entry = { ...loginRefused(request, account?.user, failed), outcome: "failed" } as const;
    return { result: undefined, entries: [entry], tenantKnown };
  }).catch(() => undefined);
}

function observe(
  observer: LoginObserver,
  outcome: LoginOutcome,
  { tenant, address }: LoginRequest,
): void {
  if (outcome.kind === "opened") {
    const { passwordChangeOnly } = outcome.tokens;
    observer.onLogin("opened", passwordChangeOnly ? "one_time_password" : "password");
  } else if (outcome.kind === "refused") {
    observer.onLogin("refused", outcome.code);
  } else {
    observer.onLimit(outcome.limit, { tenant, address });
    observer.onLogin("limited", outcome.limit);
  }
}
