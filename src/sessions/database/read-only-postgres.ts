/**
 * A server that accepts no writes: a standby, or a former primary that is still connected after a
 * failover. Its data may be old, and its locks do not exclude clients of the primary.
 */
import type { ClientBase } from "pg";
import { z } from "zod";
import { DatabaseError } from "./database.js";

/** One column of a SELECT. Always on during recovery. */
export const READ_ONLY = "current_setting('transaction_read_only') = 'on' AS read_only";

const rows = z.tuple([z.object({ read_only: z.boolean() })]);
const answers = z.array(z.object({ rows: z.unknown() })).min(1);

/** From the results of several statements, the last of which selected READ_ONLY. */
export function readOnlyIn(results: unknown): boolean {
  return rows.parse(answers.parse(results).at(-1)?.rows)[0].read_only;
}

export async function isReadOnly(client: ClientBase): Promise<boolean> {
  const { rows: found } = await client.query<object>(`SELECT ${READ_ONLY}`);
  return rows.parse(found)[0].read_only;
}

export function readOnlyFault(): DatabaseError {
  const advice = "is it a standby? SEKISHO_DATABASE_URL must lead to the primary";
  return new DatabaseError("unavailable", `database: the server is read-only (${advice})`);
}
