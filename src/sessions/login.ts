import type { Clock } from "../clock/clock.js";
import type { Database } from "../database/database.js";
import type { AccessTokenMint } from "../keys/signing-keys.js";
import type { LimitName, LoginLimits } from "../limits/login-limits.js";
import type { PasswordHasher } from "../passwords/password-hasher.js";
import type { IssuedTokens } from "./issued-tokens.js";
import type { LockoutSettings } from "./lockout.js";
import type { LoginObserver, LoginRefusal } from "./observers.js";
import type { SessionLimits } from "./session-limits.js";

export interface LoginParts {
  readonly db: Database;
  readonly clock: Clock;
  readonly hasher: Pick<PasswordHasher, "verify" | "needsRehash" | "hash">;
  readonly limits: Pick<LoginLimits, "admit" | "succeeded">;
  readonly mint: AccessTokenMint;
  /** From a source that nobody can predict. */
  readonly randomBytes: (size: number) => Uint8Array;
  readonly options: SessionLimits & { readonly lockout: LockoutSettings };
  readonly observer: LoginObserver;
}

/** Tenant and login are identifiers, and the device's name has 256 characters at most. */
export interface LoginRequest {
  readonly tenant: string;
  readonly login: string;
  readonly password: string;
  readonly deviceName: string;
  readonly address: string;
}

export type LoginOutcome =
  | { readonly kind: "opened"; readonly tokens: IssuedTokens }
  /** `retryAfterS`: of a locked account. */
  | { readonly kind: "refused"; readonly code: LoginRefusal; readonly retryAfterS?: number }
  | { readonly kind: "limited"; readonly limit: LimitName; readonly retryAfterS: number };

export async function login(parts: LoginParts, request: LoginRequest): Promise<LoginOutcome> {
  await parts.db.ping();
  throw new Error(`not yet: ${request.tenant}`);
}
