/**
 * Keeps keys revoked that no operator has lifted: key sets outlive the log, so each key is revoked
 * again when its last revocation is half a horizon old. The relay does so before it looks at the log:
 * a restore then takes in what the horizon would leave out.
 */
import type { Clock } from "../../runtime/clock.js";
import type { Database } from "../database/database.js";
import type { LogRequirements } from "./relay-decision.js";
import { revokeKeysAgain } from "./revoked-keys-sql.js";

/** An eighth of the horizon, but not longer. */
const LOOK_MS_MAX = 30_000;

export interface RevokedKeysDependencies {
  readonly database: Database;
  readonly clock: Clock;
  readonly requirements: LogRequirements;
}

export class RevokedKeys {
  readonly #dependencies: RevokedKeysDependencies;
  #lookedAtMs = -Infinity;

  constructor(dependencies: RevokedKeysDependencies) {
    this.#dependencies = dependencies;
  }

  /** At most once in a while. Rejects with a DatabaseError. */
  async revokeAgain(): Promise<void> {
    const { database, clock, requirements } = this.#dependencies;
    const horizonMs = requirements.horizonS * 1000;
    const startedMs = clock.monotonicMs();
    if (startedMs - this.#lookedAtMs < Math.min(horizonMs / 8, LOOK_MS_MAX)) return;
    const nowMs = clock.wallMs();
    await database.transaction({ role: "relay" }, (queries) =>
      revokeKeysAgain(queries, { sinceMs: nowMs - horizonMs / 2, nowMs }),
    );
    this.#lookedAtMs = startedMs;
  }
}
