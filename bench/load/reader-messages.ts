/** What a fleet's parent and its processes say to each other. Moments: see `monotonicMs`. */
import { z } from "zod";

export const readerOrderSchema = z.discriminatedUnion("kind", [
  /** Starts all readers at once. */
  z.object({
    kind: z.literal("follow"),
    redisUrl: z.string(),
    /** Begins the readers' names. */
    name: z.string(),
    readers: z.int().positive(),
    /** That each can hold. */
    entriesMax: z.int().positive(),
  }),
  /** Watches the readers until each has applied these entries. */
  z.object({
    kind: z.literal("watch"),
    firstSeq: z.int().positive(),
    count: z.int().positive(),
    /** Whether to note when each entry was applied, and not only the last one. */
    each: z.boolean(),
  }),
]);
export type ReaderOrder = z.infer<typeof readerOrderSchema>;

const momentsSchema = z.instanceof(Float64Array);

export const readerReportSchema = z.discriminatedUnion("kind", [
  /** The process takes orders. */
  z.object({ kind: z.literal("ready") }),
  /** All are fresh; the moments at which each was first. */
  z.object({ kind: z.literal("fresh"), freshAtMs: momentsSchema, cpuMs: z.number() }),
  z.object({ kind: z.literal("watching") }),
  z.object({
    kind: z.literal("applied"),
    /** By entry (only the last one, or each), and within that by reader. */
    appliedAtMs: momentsSchema,
    stalenessMaxMs: z.number(),
    /** How late the event loop was. */
    loop: z.object({ p999Ms: z.number(), maxMs: z.number() }),
    cpuMs: z.number(),
    /** How often a reader lost its connection or its place in the log. */
    disturbed: z.int(),
  }),
]);
export type ReaderReport = z.infer<typeof readerReportSchema>;
export type Applied = Extract<ReaderReport, { readonly kind: "applied" }>;
