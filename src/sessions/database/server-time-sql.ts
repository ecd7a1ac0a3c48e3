/** The database's own wall clock. */
import { z } from "zod";

/** The current time, not the start of the transaction. */
export const SERVER_TIME =
  "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS server_ms";

const answer = z.tuple([z.object({ server_ms: z.number() })]);

/** Milliseconds since the Unix epoch, from the rows of `SERVER_TIME`. */
export function serverMsIn(rows: unknown): number {
  return answer.parse(rows)[0].server_ms;
}
