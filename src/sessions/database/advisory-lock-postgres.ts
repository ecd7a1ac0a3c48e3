/** PostgreSQL's advisory locks: held by a connection, released when it ends. */
import type { ClientConfig } from "pg";
import type { HeldLock, LockName } from "./database.js";
import { OwnConnection } from "./connection-postgres.js";
import { toConnectionError } from "./error-sql.js";
import { isReadOnly, readOnlyFault } from "./read-only-postgres.js";

/** Arbitrary fixed numbers; the class separates our locks from other programs'. */
export const LOCK_CLASS = 1_397_900_115;
export const LOCKS: Readonly<Record<LockName, number>> = { relay: 1, migrations: 2 };
/** Held by transactions, not by a connection. */
export const CUT_OFFS_LOCK = 3;

/** For taking the lock, and for checking that we still hold it. */
const ANSWER_TIMEOUT_MS = 500;

/**
 * The server detects within about two seconds of silence that the holder's machine is gone, and
 * releases the lock. (Where the operating system lacks one of these settings, its default applies.)
 */
const NOTICE_A_DEAD_HOLDER =
  "SELECT set_config('tcp_keepalives_idle', '1', false), set_config('tcp_keepalives_interval', '1', false), set_config('tcp_keepalives_count', '1', false)";

/** Undefined if another connection holds it. Rejects with a DatabaseError. */
export async function tryAdvisoryLock(
  config: ClientConfig,
  name: LockName,
): Promise<HeldLock | undefined> {
  const connection = new OwnConnection({ ...config, query_timeout: ANSWER_TIMEOUT_MS });
  const { client } = connection;
  try {
    await client.connect();
    // A standby grants locks of its own, which do not exclude clients of the primary.
    if (await isReadOnly(client)) throw readOnlyFault();
    await client.query(NOTICE_A_DEAD_HOLDER);
    const found = await client.query<{ held: boolean }>(
      "SELECT pg_try_advisory_lock($1, $2) AS held",
      [LOCK_CLASS, LOCKS[name]],
    );
    if (found.rows[0]?.held !== true) {
      await connection.end();
      return undefined;
    }
  } catch (error) {
    await connection.end();
    throw toConnectionError(error);
  }
  return {
    confirm: async () => {
      if (connection.lost) return false;
      return isReadOnly(client).then(
        (readOnly) => !readOnly && !connection.lost,
        () => false,
      );
    },
    release: () => connection.end(),
  };
}
