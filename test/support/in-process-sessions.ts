/**
 * The session service's verbs on one database, with everything around them held in the hand: the
 * clock, the keys, the outbox, what the observers were told. Each test takes a tenant of its own.
 */
import { randomBytes, randomUUID } from "node:crypto";

import { eq } from "drizzle-orm";

import type { ActorContext } from "../../src/sessions/admin/admin-act.js";
import { RefusalTrail } from "../../src/sessions/audit/refusal-trail.js";
import type { Database } from "../../src/sessions/database/database.js";
import {
  audit,
  credentials,
  loginFailures,
  revocations,
  sessions,
  tenants,
  users,
} from "../../src/sessions/database/schema-sql.js";
import { SigningKeyError } from "../../src/sessions/keys/signing-key-error.js";
import type {
  AccessTokenMint,
  OwnTokenVerifier,
  TokenFacts,
} from "../../src/sessions/keys/signing-keys.js";
import type { Admission } from "../../src/sessions/limits/login-limits.js";
import type { DecidedRevocation } from "../../src/revocation-log/publisher.js";
import type { Outbox } from "../../src/sessions/outbox/outbox.js";
import { Argon2PasswordHasher } from "../../src/sessions/passwords/password-hasher-argon2.js";
import { callerOf, type Caller } from "../../src/sessions/login/caller.js";
import type { IssuedTokens } from "../../src/sessions/login/issued-tokens.js";
import { DEFAULT_LOCKOUT } from "../../src/sessions/login/lockout.js";
import {
  login,
  type LoginDependencies,
  type LoginRequest,
} from "../../src/sessions/login/login.js";
import type { LoginObserver, RefreshObserver } from "../../src/sessions/login/observers.js";
import {
  refresh,
  type RefreshOutcome,
  type RefreshDependencies,
} from "../../src/sessions/login/refresh.js";
import type { Role } from "../../src/sessions/login/scopes.js";
import type { SessionLimits } from "../../src/sessions/login/session-limits.js";
import { ManualClock } from "./manual-clock.js";
import { tokenNames } from "./token-names.js";

const DAY_MS = 86_400_000;

/** As the service has them where nothing is set. */
const SESSION_LIMITS: SessionLimits = {
  idleMs: 14 * DAY_MS,
  absoluteMs: 90 * DAY_MS,
  refreshToleranceMs: 5000,
  refreshRetryMs: 120_000,
  refreshUnsearchedMaxMs: 300_000,
};

export const PASSWORD = "a long enough password";
export const ADDRESS = "192.0.2.7";

/** Of a tenant of their own, so that no test has one operator more than it made. */
const ADMINISTRATOR: Caller = {
  tenant: "administrators",
  user: "an operator",
  session: "theirs",
  scopes: new Set(["operator"]),
};
const NEVER = new Date("2200-01-01T00:00:00Z");

/** The least that argon2 does; only the first test of a file notices that it is slow. */
const QUICK = { memoryKiB: 8, passes: 1, lanes: 1 };

/** Tokens that say what they are made of. */
export class PlainMint implements AccessTokenMint, OwnTokenVerifier {
  readonly minted: TokenFacts[] = [];
  /** As where no key could be read. */
  hasKey = true;

  mint(facts: TokenFacts): Promise<{ readonly token: string; readonly expiresInS: number }> {
    if (!this.hasKey) return Promise.reject(new SigningKeyError("no_key", "there is no key"));
    this.minted.push(facts);
    return Promise.resolve({ token: `token-${this.minted.length - 1}`, expiresInS: 600 });
  }

  factsOf(token: string): TokenFacts {
    const facts = this.minted[Number(token.replace("token-", ""))];
    if (facts === undefined) throw new Error("that token was not minted here");
    return facts;
  }

  verify(token: string) {
    if (!token.startsWith("token-")) return Promise.resolve(undefined);
    const { issuedAtS, scopes, ...facts } = this.factsOf(token);
    const times = { issuedAt: issuedAtS, expiresAt: issuedAtS + 600, notBefore: undefined };
    const names = tokenNames(facts.tenant, facts.user, facts.session, {
      issuer: "https://here.example",
      jti: token,
    });
    const audience = ["api"];
    return Promise.resolve({ ...names, ...facts, ...times, audience, scopes: new Set(scopes) });
  }
}

export class MemoryOutbox implements Outbox {
  readonly published: DecidedRevocation[] = [];

  publish(committed: readonly DecidedRevocation[]) {
    this.published.push(...committed);
    return Promise.resolve({ published: true });
  }

  receiptAgain() {
    return Promise.resolve({ published: true });
  }
}

/** What the observers were told, in order. */
export class ToldObserver implements LoginObserver, RefreshObserver {
  readonly told: string[] = [];

  onLogin(outcome: string, reason: string): void {
    this.told.push(`login ${outcome} ${reason}`);
  }

  onRefresh(outcome: string, reason: string): void {
    this.told.push(`refresh ${outcome} ${reason}`);
  }

  onReuse(): void {
    this.told.push("reuse");
  }

  onLockout(): void {
    this.told.push("lockout");
  }

  onLimit(limit: string): void {
    this.told.push(`limit ${limit}`);
  }

  readonly refusals = {
    onWritten: (): void => undefined,
    onLeftOut: (): void => void this.told.push("refusal left out"),
    onFailed: (): void => void this.told.push("refusal not written"),
  };
}

/** Lets everybody in unless told otherwise. */
class ToldLimits {
  answer: Admission = { admitted: true };
  succeededCount = 0;

  admit(): Promise<Admission> {
    return Promise.resolve(this.answer);
  }

  admitRefresh(): Promise<Admission> {
    return Promise.resolve(this.answer);
  }

  admitAct(): Promise<Admission> {
    return Promise.resolve({ admitted: true });
  }

  succeeded(): Promise<void> {
    this.succeededCount += 1;
    return Promise.resolve();
  }
}

export interface TestUser {
  readonly tenant: string;
  readonly user: string;
  readonly login: string;
}

export class InProcessSessions {
  readonly clock = new ManualClock();
  readonly mint = new PlainMint();
  readonly outbox = new MemoryOutbox();
  readonly observer = new ToldObserver();
  readonly limits = new ToldLimits();
  readonly hasher = new Argon2PasswordHasher({
    cost: QUICK,
    limits: { concurrency: 2, queueMax: 1000, waitMaxMs: 60_000 },
  });
  readonly db: Database;
  readonly refusals: RefusalTrail;
  #passwordHash: Promise<string> | undefined;
  #administratorAdded: Promise<void> | undefined;

  constructor(db: Database) {
    this.db = db;
    const { clock, observer } = this;
    this.refusals = new RefusalTrail({ db, clock, observer: observer.refusals });
  }

  /** Everything that any of the verbs takes. */
  get parts() {
    return {
      db: this.db,
      clock: this.clock,
      hasher: this.hasher,
      limits: this.limits,
      mint: this.mint,
      verifier: this.mint,
      outbox: this.outbox,
      refusals: this.refusals,
      randomBytes: (size: number): Uint8Array => randomBytes(size),
      newEventId: () => randomUUID(),
      newUserId: () => randomUUID(),
      clockSkewMs: 5000,
      options: { ...SESSION_LIMITS, lockout: DEFAULT_LOCKOUT },
      observer: this.observer,
    } satisfies LoginDependencies & RefreshDependencies & Record<string, unknown>;
  }

  async close(): Promise<void> {
    await this.refusals.close();
    await this.hasher.close();
  }

  async addTenant(tenant = `tenant ${randomUUID()}`): Promise<string> {
    await (this.#administratorAdded ??= this.#addAdministrator());
    const row = { tenantId: tenant, name: tenant, createdAt: new Date(this.clock.wallMs()) };
    await this.db.transaction({ role: "operator" }, async (queries) => {
      await queries.insert(tenants).values(row);
    });
    return tenant;
  }

  /** In a tenant of their own unless one is given. */
  async addUser(
    of: { tenant?: string; role?: Role; oneTime?: boolean; login?: string } = {},
  ): Promise<TestUser> {
    await (this.#administratorAdded ??= this.#addAdministrator());
    const tenant = of.tenant ?? (await this.addTenant());
    const user = `user ${randomUUID()}`;
    const name = of.login ?? `login ${randomUUID()}`;
    this.#passwordHash ??= this.hasher.hash(PASSWORD);
    const passwordHash = await this.#passwordHash;
    const now = new Date(this.clock.wallMs());
    await this.asTenant(tenant, async (queries) => {
      const role = of.role ?? "user";
      const key = { tenantId: tenant, userId: user };
      await queries.insert(users).values({ ...key, login: name, role, createdAt: now });
      const oneTime = of.oneTime ?? false;
      await queries.insert(credentials).values({ ...key, passwordHash, oneTime, changedAt: now });
    });
    return { tenant, user, login: name };
  }

  /** A login's request, right in everything unless said otherwise. */
  requestOf({ tenant, login: name }: TestUser, other: Partial<LoginRequest> = {}): LoginRequest {
    const rest = { password: PASSWORD, deviceName: "a telephone", address: ADDRESS };
    return { tenant, login: name, ...rest, ...other };
  }

  async open(user: TestUser): Promise<IssuedTokens> {
    const outcome = await login(this.parts, this.requestOf(user));
    if (outcome.kind !== "opened") throw new Error(`no session: ${JSON.stringify(outcome)}`);
    return outcome.tokens;
  }

  async refresh(refreshToken: string): Promise<RefreshOutcome> {
    return refresh(this.parts, { refreshToken, address: ADDRESS });
  }

  /** A refresh that must succeed. */
  async rotate(refreshToken: string): Promise<IssuedTokens> {
    const outcome = await this.refresh(refreshToken);
    if (outcome.kind !== "rotated") throw new Error(`not refreshed: ${JSON.stringify(outcome)}`);
    return outcome.tokens;
  }

  async callerOf({ accessToken }: IssuedTokens): Promise<Caller> {
    const caller = await callerOf(this.parts, accessToken);
    if (caller === undefined) throw new Error("the token was refused");
    return caller;
  }

  /** An administrator who acts from outside; there as soon as there is a tenant or a user. */
  get administrator(): ActorContext {
    return { caller: ADMINISTRATOR, address: ADDRESS };
  }

  async #addAdministrator(): Promise<void> {
    const { tenant: tenantId, user: userId, session: sessionId } = ADMINISTRATOR;
    const createdAt = new Date(this.clock.wallMs());
    const key = { tenantId, userId };
    await this.db.transaction({ role: "operator" }, async (queries) => {
      const tenant = { tenantId, name: "Administrators", createdAt };
      await queries.insert(tenants).values(tenant).onConflictDoNothing();
    });
    await this.asTenant(tenantId, async (queries) => {
      const user = { ...key, login: userId, role: "user", createdAt } as const;
      await queries.insert(users).values(user).onConflictDoNothing();
      const times = { createdAt, lastUsedAt: createdAt };
      const never = { idleExpiresAt: NEVER, expiresAt: NEVER };
      const place = { deviceName: "a desk", address: ADDRESS, lastUsedAddress: ADDRESS };
      const rest = { refreshGeneration: 0, passwordChangeOnly: false };
      const session = { ...key, sessionId, ...times, ...never, ...place, ...rest };
      await queries.insert(sessions).values(session).onConflictDoNothing();
    });
  }

  /** So many round trips to the database: for races, which begin at different moments. */
  async takeSteps(steps: number): Promise<void> {
    for (let step = 0; step < steps; step += 1) await this.db.ping();
  }

  asTenant<T>(tenant: string, work: Parameters<typeof this.db.transaction<T>>[1]): Promise<T> {
    return this.db.transaction({ role: "tenant", tenant }, work);
  }

  sessionsOf({ tenant, user }: TestUser) {
    return this.asTenant(tenant, (queries) =>
      queries.select().from(sessions).where(eq(sessions.userId, user)),
    );
  }

  async userRow({ tenant, user }: TestUser) {
    const [row] = await this.asTenant(tenant, (queries) =>
      queries.select().from(users).where(eq(users.userId, user)),
    );
    if (row === undefined) throw new Error("there is no such user");
    return row;
  }

  revocationsOf(tenant: string) {
    return this.asTenant(tenant, (queries) => queries.select().from(revocations));
  }

  async failuresOf(tenant: string, name: string) {
    const [row] = await this.asTenant(tenant, (queries) =>
      queries.select().from(loginFailures).where(eq(loginFailures.login, name)),
    );
    return row;
  }

  /** `kind outcome reason`, in order. */
  async trailOf(tenant: string): Promise<readonly string[]> {
    const rows = await this.auditOf(tenant);
    return rows.map(({ kind, outcome, reason }) =>
      [kind, outcome, ...(reason === null ? [] : [reason])].join(" "),
    );
  }

  auditOf(tenant: string) {
    return this.asTenant(tenant, (queries) =>
      queries.select().from(audit).where(eq(audit.tenantId, tenant)).orderBy(audit.auditId),
    );
  }
}
