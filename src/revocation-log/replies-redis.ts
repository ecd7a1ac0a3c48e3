/** Replies of Redis to the commands that nodes and log admins share. */
import type { ChainableCommander } from "ioredis";
import { z } from "zod";
import { toLogError } from "./error-redis.js";
import type { RawEntry } from "./entry.js";
import { RevocationLogError } from "./revocation-log.js";

const timeSchema = z.tuple([z.coerce.number(), z.coerce.number()]);
/** Groups have many fields: for speed, they are not parsed one by one. */
const groupsSchema = z.array(z.custom<readonly unknown[]>(Array.isArray));
const roleSchema = z.tuple([z.string()]).rest(z.unknown());

/** The replies of a pipeline or transaction; the first error in it is thrown. */
export async function runAll(
  connection: { within<T>(withinMs: number, what: string, command: Promise<T>): Promise<T> },
  withinMs: number,
  what: string,
  pipeline: ChainableCommander,
): Promise<readonly unknown[]> {
  const results = await connection.within(withinMs, what, pipeline.exec());
  if (results === null) throw new RevocationLogError("unexpected", `${what}: no reply`);
  for (const [error] of results) if (error !== null) throw toLogError(what, error);
  return results.map(([, reply]) => reply);
}

/** `what`: the command, for the message. Throws a RevocationLogError. */
export function parse<T>(what: string, schema: z.ZodType<T>, reply: unknown): T {
  const parsed = schema.safeParse(reply);
  if (parsed.success) return parsed.data;
  throw unknownForm(what);
}

/** In the reply to XINFO GROUPS, by group: the ID of the last entry that was delivered to it. */
export function groupsIn(reply: unknown): ReadonlyMap<string, string> {
  const groups = new Map<string, string>();
  for (const fields of parse("XINFO", groupsSchema, reply)) {
    const [name, lastId] = ["name", "last-delivered-id"].map((field) => valueOf(fields, field));
    if (name !== undefined && lastId !== undefined) groups.set(name, lastId);
  }
  return groups;
}

/** The reply to TIME in Unix milliseconds. */
export function timeToMs(reply: unknown): number {
  const [seconds, microseconds] = parse("TIME", timeSchema, reply);
  return seconds * 1000 + Math.floor(microseconds / 1000);
}

/** The role in the reply to ROLE: `master`, `slave` or `sentinel`. */
export function roleIn(reply: unknown): string {
  return parse("ROLE", roleSchema, reply)[0];
}

/** A value in a RESP2 map: alternating names and values. */
function valueOf(fields: readonly unknown[], name: string): string | undefined {
  const value = fields[fields.indexOf(name) + 1];
  return typeof value === "string" && value !== name ? value : undefined;
}

/**
 * The entries in the reply to XRANGE, or in that of one stream of XREADGROUP. Read by hand, because a node
 * that catches up reads tens of thousands in a second.
 */
export function entriesIn(what: string, reply: unknown): readonly RawEntry[] {
  if (!Array.isArray(reply)) throw unknownForm(what);
  return reply.map((one: unknown) => {
    const entry = toRawEntry(one);
    if (entry === undefined) throw unknownForm(what);
    return entry;
  });
}

/** An ID, and alternating names and values, or null for an entry that was deleted. */
function toRawEntry(one: unknown): RawEntry | undefined {
  if (!Array.isArray(one) || one.length !== 2) return undefined;
  const entry: readonly unknown[] = one;
  const [id, pairs] = entry;
  if (typeof id !== "string") return undefined;
  if (pairs === null) return { id, fields: undefined };
  if (!Array.isArray(pairs)) return undefined;
  const list: readonly unknown[] = pairs;
  const fields: Record<string, string> = {};
  for (let i = 0; i + 1 < list.length; i += 2) {
    const [name, value] = [list[i], list[i + 1]];
    if (typeof name !== "string" || typeof value !== "string") return undefined;
    fields[name] = value;
  }
  return { id, fields };
}

function unknownForm(what: string): RevocationLogError {
  return new RevocationLogError("unexpected", `${what}: the reply has an unknown form`);
}
