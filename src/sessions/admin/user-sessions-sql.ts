import { and, desc, eq, lt, or } from "drizzle-orm";
import type { Queries } from "../database/queries-sql.js";
import { sessions } from "../database/schema-sql.js";
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
  return rows.map((row) => ({
    ...sessionView(row),
    // Whichever comes first.
    expiresAtMs: Math.min(row.idleExpiresAt.getTime(), row.expiresAt.getTime()),
    endedAtMs: row.endedAt?.getTime(),
    endedBy: row.endedBy ?? undefined,
  }));
}

function olderThan(before: NonNullable<SessionsAsked["before"]>) {
  const createdAt = new Date(before.createdAtMs);
  return or(
    lt(sessions.createdAt, createdAt),
    and(eq(sessions.createdAt, createdAt), lt(sessions.sessionId, before.session)),
  );
}
