import { and, desc, eq, lt, or } from "drizzle-orm";
import type { Queries } from "../database/queries-sql.js";
import { sessions } from "../database/schema-sql.js";
import { readCutOffs, type CutOff } from "../outbox/cut-offs-sql.js";
import { sessionView } from "../login/session-sql.js";
import type { SessionView } from "../login/session-view.js";

export interface UserSessionView extends SessionView {
  readonly expiresAtMs: number;
  readonly endedAtMs: number | undefined;
  /** The audit kind of the act that ended it. */
  readonly endedBy: string | undefined;
}

export interface SessionsAsked {
  readonly tenant: string;
  readonly user: string;
  /** Only sessions older than this one. */
  readonly before: { readonly createdAtMs: number; readonly session: string } | undefined;
  readonly limit: number;
}

/** Newest first. */
export async function readSessions(
  queries: Queries,
  { tenant, user, before, limit }: SessionsAsked,
): Promise<readonly UserSessionView[]> {
  const rows = await queries
    .select()
    .from(sessions)
    .where(
      and(eq(sessions.tenantId, tenant), eq(sessions.userId, user), before && olderThan(before)),
    )
    .orderBy(desc(sessions.createdAt), desc(sessions.sessionId))
    .limit(limit);
  const cutOffs = await readCutOffs(queries);
  return rows.map((row) => ({
    ...sessionView(row),
    // Whichever comes first.
    expiresAtMs: Math.min(row.idleExpiresAt.getTime(), row.expiresAt.getTime()),
    ...endOf(row, cutOffs),
  }));
}

/** By whatever ended it first. */
function endOf(
  { createdAt, endedAt, endedBy }: typeof sessions.$inferSelect,
  cutOffs: readonly CutOff[],
): Pick<UserSessionView, "endedAtMs" | "endedBy"> {
  const ends = cutOffs
    .filter(({ atMs }) => createdAt.getTime() < atMs)
    .map(({ atMs, kind }): { atMs: number; endedBy: string | undefined } => {
      return { atMs, endedBy: kind };
    });
  if (endedAt !== null) ends.push({ atMs: endedAt.getTime(), endedBy: endedBy ?? undefined });
  const [first] = ends.sort((one, other) => one.atMs - other.atMs);
  return { endedAtMs: first?.atMs, endedBy: first?.endedBy };
}

function olderThan(before: NonNullable<SessionsAsked["before"]>) {
  const createdAt = new Date(before.createdAtMs);
  return or(
    lt(sessions.createdAt, createdAt),
    and(eq(sessions.createdAt, createdAt), lt(sessions.sessionId, before.session)),
  );
}
