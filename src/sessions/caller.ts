import type { Clock } from "../clock/clock.js";
import type { Database } from "../database/database.js";
import type { OwnTokenVerifier } from "../keys/signing-keys.js";

/** Whoever calls the API with a good access token of this service. */
export interface Caller {
  readonly tenant: string;
  readonly user: string;
  readonly session: string;
  readonly scopes: ReadonlySet<string>;
}

export interface CallerParts {
  readonly db: Database;
  readonly clock: Clock;
  readonly verifier: OwnTokenVerifier;
}

/** undefined: refused. Rejects with a DatabaseError. */
export async function callerOf(parts: CallerParts, bearer: string): Promise<Caller | undefined> {
  await parts.verifier.verify(bearer);
  return undefined;
}
