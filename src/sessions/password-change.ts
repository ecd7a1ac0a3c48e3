import type { Database } from "../database/database.js";
import type { CommittedRevocation } from "../outbox/outbox.js";
import type { PasswordHasher } from "../passwords/password-hasher.js";
import type { PasswordFault } from "../passwords/password-rules.js";
import type { Caller } from "./caller.js";
import type { EndingTools } from "./ending-sql.js";
import type { LockoutSettings } from "./lockout.js";
import type { LockoutObserver } from "./observers.js";

export interface PasswordChangeParts extends EndingTools {
  readonly db: Database;
  readonly hasher: Pick<PasswordHasher, "verify" | "hash">;
  readonly options: { readonly lockout: LockoutSettings };
  readonly observer: LockoutObserver;
}

export interface PasswordChangeRequest {
  readonly currentPassword: string;
  readonly newPassword: string;
  readonly address: string;
}

export type PasswordChangeOutcome =
  | { readonly kind: "changed"; readonly committed: readonly CommittedRevocation[] }
  | {
      readonly kind: "refused";
      /** `session_ended`: while the passwords were looked at. */
      readonly code: "bad_credentials" | "session_ended";
    }
  | { readonly kind: "refused"; readonly code: "account_locked"; readonly retryAfterS: number }
  | {
      readonly kind: "refused";
      readonly code: "password_unacceptable";
      readonly problems: readonly (PasswordFault | "password_unchanged")[];
    };

export async function changeOwnPassword(
  parts: PasswordChangeParts,
  caller: Caller,
  request: PasswordChangeRequest,
): Promise<PasswordChangeOutcome> {
  await parts.db.ping();
  throw new Error(`not yet: ${caller.user} ${request.address}`);
}
