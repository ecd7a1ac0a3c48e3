import type { Database } from "../database/database.js";
import type { CommittedRevocation } from "../outbox/outbox.js";
import type { Caller } from "./caller.js";
import type { EndingTools } from "./ending-sql.js";
import type { SessionView } from "./session-view.js";

export interface OwnSessionParts extends EndingTools {
  readonly db: Database;
}

/** What was revoked and has to be published. */
export interface Ended {
  readonly committed: readonly CommittedRevocation[];
}

export async function listOwnSessions(
  parts: Pick<OwnSessionParts, "db" | "clock">,
  caller: Caller,
): Promise<readonly SessionView[]> {
  await parts.db.ping();
  throw new Error(`not yet: ${caller.user}`);
}

/** `address`: from where. undefined: the caller has no such session. */
export async function endOwnSession(
  parts: OwnSessionParts,
  caller: Caller,
  sessionId: string,
  address: string,
): Promise<Ended | undefined> {
  await parts.db.ping();
  throw new Error(`not yet: ${caller.user} ${sessionId} ${address}`);
}

export async function endOwnOtherSessions(
  parts: OwnSessionParts,
  caller: Caller,
  address: string,
): Promise<Ended | undefined> {
  await parts.db.ping();
  throw new Error(`not yet: ${caller.user} ${address}`);
}

export async function logout(
  parts: OwnSessionParts,
  caller: Caller,
  address: string,
): Promise<Ended | undefined> {
  await parts.db.ping();
  throw new Error(`not yet: ${caller.user} ${address}`);
}
