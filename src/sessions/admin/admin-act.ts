/**
 * What administrators' acts have in common. Each is one transaction (`caller-lock.ts`) that
 * includes its row in the audit trail. It runs as the tenant that it concerns, so it cannot see
 * another tenant's rows.
 *
 * Whether the caller may act there is decided before these are called (`http/authority.ts`).
 */
import { actorName } from "../audit/audit-trail.js";
import type { Database } from "../database/database.js";
import type { DecidedRevocation } from "../../revocation-log/publisher.js";
import type { PasswordHasher } from "../passwords/password-hasher.js";
import type { Caller } from "../login/caller.js";
import type { Act, EndingDependencies } from "../login/ending-sql.js";

export interface AdminDependencies extends EndingDependencies {
  readonly db: Database;
  readonly hasher: Pick<PasswordHasher, "hash">;
  /** Chooses a new user's id when the request names none. */
  readonly newUserId: () => string;
  /** Unpredictable: one-time passwords are made from it. */
  readonly randomBytes: (size: number) => Uint8Array;
}

/** Who acts, from where, and why. */
export interface ActorContext {
  readonly caller: Caller;
  readonly address: string;
  /** In the administrator's own words. */
  readonly reason?: string | undefined;
}

export interface UserTarget {
  readonly tenant: string;
  readonly user: string;
}

/** What to publish, now that it is committed. */
export interface Revoked {
  readonly committed: readonly DecidedRevocation[];
  /**
   * Who made the same request earlier. Set: it was done before, and there is nothing to publish.
   */
  readonly repeatedBy?: string;
}

export function actOf({ caller, address, reason }: ActorContext): Act {
  return { actor: actorName(caller.tenant, caller.user), address, reason };
}
