import type { Clock } from "../clock/clock.js";
import type { Database } from "../database/database.js";
import type { AccessTokenMint } from "../keys/signing-keys.js";
import type { LoginLimits } from "../limits/login-limits.js";
import type { Outbox } from "../outbox/outbox.js";
import type { IssuedTokens } from "./issued-tokens.js";
import type { RefreshObserver, RefreshRefusal } from "./observers.js";
import type { SessionLimits } from "./session-limits.js";

export interface RefreshParts {
  readonly db: Database;
  readonly clock: Clock;
  readonly limits: Pick<LoginLimits, "admitRefresh">;
  readonly mint: AccessTokenMint;
  readonly outbox: Outbox;
  readonly randomBytes: (size: number) => Uint8Array;
  /** A new UUID for each revocation. */
  readonly newEventId: () => string;
  readonly options: SessionLimits;
  readonly observer: RefreshObserver;
}

export interface RefreshRequest {
  readonly refreshToken: string;
  readonly address: string;
}

export type RefreshOutcome =
  | { readonly kind: "rotated"; readonly tokens: IssuedTokens }
  | { readonly kind: "refused"; readonly code: RefreshRefusal }
  | { readonly kind: "limited"; readonly retryAfterS: number };

export async function refresh(
  parts: RefreshParts,
  request: RefreshRequest,
): Promise<RefreshOutcome> {
  await parts.db.ping();
  throw new Error(`not yet: ${request.address}`);
}
