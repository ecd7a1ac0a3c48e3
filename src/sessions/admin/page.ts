/**
 * Long lists are read page by page. A page begins after a key, not after a number of rows, so that
 * rows added meanwhile cause neither repeats nor gaps.
 */
import { z } from "zod";
import { identifierSchema } from "../../tokens/identifier.js";

export const PAGE_LIMIT_MAX = 200;
export const PAGE_LIMIT_DEFAULT = 50;
/** More than any valid cursor needs: three ids of 256 characters, escaped and encoded. */
export const CURSOR_MAX_CHARACTERS = 8192;

export interface PageRequest {
  /** `nextCursor` of the page before. */
  readonly cursor?: string | undefined;
  /** 1 … PAGE_LIMIT_MAX */
  readonly limit: number;
}

export interface Page<Item> {
  readonly kind: "page";
  readonly items: readonly Item[];
  /** undefined: this was the last page. */
  readonly nextCursor: string | undefined;
}

/** The cursor does not belong to this list. */
export interface CursorInvalid {
  readonly kind: "cursor_invalid";
}

type Key = readonly (string | number)[];

/** The last time that PostgreSQL and a four-digit year can both write: Unix milliseconds. */
export const TIME_MAX_MS = 253_402_300_799_999;

/** The parts of keys. Cursors are not signed, so every part is validated. */
export const KEY_PARTS = {
  id: identifierSchema,
  timeMs: z.int().min(0).max(TIME_MAX_MS),
  serial: z.int().min(1),
} as const;

/**
 * One paged list. The cursor names it (`of`: which list, of which tenant and user), so that another
 * list's cursor is refused like an invented one.
 */
export interface Paged<K extends Key> {
  readonly of: readonly string[];
  readonly key: z.ZodType<K>;
}

/** The key to continue after, undefined for the beginning, or `invalid`. */
export function startOf<K extends Key>(
  { of, key }: Paged<K>,
  cursor: string | undefined,
): K | undefined | "invalid" {
  if (cursor === undefined) return undefined;
  const read = z.tuple([z.array(z.string()), key]).safeParse(decoded(cursor));
  if (!read.success) return "invalid";
  const [named, start] = read.data;
  return JSON.stringify(named) === JSON.stringify(of) ? start : "invalid";
}

/** `rows`: up to one more than `limit`, which shows that there is a further page. */
export function pageOf<Row, K extends Key>(
  { of }: Paged<K>,
  rows: readonly Row[],
  limit: number,
  keyOf: (row: Row) => K,
): Page<Row> {
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  const nextCursor =
    rows.length > limit && last !== undefined ? encoded([of, keyOf(last)]) : undefined;
  return { kind: "page", items, nextCursor };
}

function encoded(value: unknown): string {
  return Buffer.from(JSON.stringify(value), "utf8").toString("base64url");
}

function decoded(cursor: string): unknown {
  if (cursor.length > CURSOR_MAX_CHARACTERS) return undefined;
  try {
    return JSON.parse(Buffer.from(cursor, "base64url").toString("utf8"));
  } catch {
    return undefined;
  }
}
