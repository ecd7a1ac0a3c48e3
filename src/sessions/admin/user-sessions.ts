import { z } from "zod";
import type { AdminDependencies, UserTarget } from "./admin-act.js";
import {
  KEY_PARTS,
  pageOf,
  startOf,
  type CursorInvalid,
  type Page,
  type PageRequest,
} from "./page.js";
import { readSessions, type UserSessionView } from "./user-sessions-sql.js";
import { readLogin } from "../login/account-sql.js";

/** A user's sessions, newest first, including ended ones. undefined: no such user. */
export async function listUserSessions(
  { db }: AdminDependencies,
  { tenant, user }: UserTarget,
  { cursor, limit }: PageRequest,
): Promise<Page<UserSessionView> | CursorInvalid | undefined> {
  const list = { of: ["sessions", tenant, user], key: z.tuple([KEY_PARTS.timeMs, KEY_PARTS.id]) };
  const start = startOf(list, cursor);
  return db.transaction({ role: "tenant", tenant }, async (queries) => {
    if ((await readLogin(queries, tenant, user)) === undefined) return undefined;
    if (start === "invalid") return { kind: "cursor_invalid" } as const;
    const before = start && { createdAtMs: start[0], session: start[1] };
    const rows = await readSessions(queries, { tenant, user, before, limit: limit + 1 });
    return pageOf(list, rows, limit, (row): [number, string] => [row.createdAtMs, row.sessionId]);
  });
}
