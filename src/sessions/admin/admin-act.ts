/**
 * What the acts of administrators have in common. Each is one transaction (`caller-lock.ts`) with its row
 * in the audit trail, seen as the tenant that it concerns: what is another tenant's does not exist
 * there.
 *
 * Who may act where is decided before these are called (`src/sessions/http/authority.ts`).
 */
import { actorName } from "../audit/audit-trail.js";
import type { Database } from "../database/database.js";
import type { CommittedRevocation } from "../outbox/outbox.js";
import type { PasswordHasher } from "../passwords/password-hasher.js";
import type { Caller } from "../login/caller.js";
import type { Act, EndingDependencies } from "../login/ending-sql.js";

/** The operators' tenant: there from the beginning, and nobody else's. */
export const OPERATORS_TENANT = "sekisho";

export interface AdminDependencies extends EndingDependencies {
  readonly db: Database;
  readonly hasher: Pick<PasswordHasher, "hash">;
  /** Chooses the id of a user for whom none was chosen. */
  readonly newUserId: () => string;
  /** Unpredictable: one-time passwords are made of it. */
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

/** What has to be published now that it is committed. */
export interface Revoked {
  readonly committed: readonly CommittedRevocation[];
  /** Who asked for what had been done before, so that there is nothing to publish. */
  readonly repeatedBy?: string;
}

export function actOf({ caller, address, reason }: ActorContext): Act {
  return { actor: actorName(caller.tenant, caller.user), address, reason };
}
