/** `meta` as stored in Redis: a hash of strings. */
import { z } from "zod";
import type { LogMeta, MetaReply, PreviousLog } from "./revocation-log.js";

/** The fields in the order of the HMGET. */
export const META_FIELDS = [
  "generation",
  "seq",
  "first_seq",
  "run_id",
  "replid",
  "authority",
  "horizon_s",
  "partitions",
  "covers_from",
  "min_replicas",
  "kept_at",
  "retired_at",
  "format",
  "restoring",
] as const;

/** The fields of a restored log, for a node that joins it; written by `finish` of a restore. */
export const PREVIOUS_FIELDS = ["prev_generation", "prev_seq", "tail_id", "tail_seq"] as const;

const wholeNumber = z
  .string()
  .regex(/^(0|[1-9][0-9]{0,15})$/)
  .transform(Number);
const absent = z.null().transform(() => undefined);

const metaSchema = z
  .object({
    generation: z.string().min(1),
    seq: wholeNumber,
    first_seq: wholeNumber,
    run_id: z.string(),
    replid: z.string().or(absent),
    authority: z.enum(["database", "redis"]),
    horizon_s: wholeNumber,
    partitions: wholeNumber,
    covers_from: wholeNumber,
    min_replicas: wholeNumber.or(z.null().transform(() => 0)),
    kept_at: wholeNumber.or(absent),
    retired_at: wholeNumber.or(absent),
    format: wholeNumber.or(z.null().transform(() => 1)),
    restoring: z.string().nullable(),
  })
  .transform(
    (meta) =>
      ({
        generation: meta.generation,
        seq: meta.seq,
        firstSeq: meta.first_seq,
        runId: meta.run_id,
        replId: meta.replid,
        authority: meta.authority,
        horizonS: meta.horizon_s,
        partitions: meta.partitions,
        coversFromMs: meta.covers_from,
        minReplicas: meta.min_replicas,
        keptAtMs: meta.kept_at,
        retiredAtMs: meta.retired_at,
        format: meta.format,
        restoring: meta.restoring !== null,
      }) satisfies LogMeta,
  );

const repliesSchema = z.array(z.string().nullable()).length(META_FIELDS.length);

/**
 * Reads the reply to `HMGET meta …META_FIELDS`. While a log is restored its facts are gone or half
 * written, and only the marker counts.
 */
export function parseMeta(reply: unknown): MetaReply {
  const values = repliesSchema.safeParse(reply);
  if (!values.success) return "unreadable";
  if (values.data.every((value) => value === null)) return "missing";
  const fields = Object.fromEntries(META_FIELDS.map((name, i) => [name, values.data[i]]));
  const parsed = metaSchema.safeParse(fields);
  if (parsed.success) return parsed.data;
  return typeof fields["restoring"] === "string" ? "restoring" : "unreadable";
}

const previousSchema = z
  .tuple([
    z.string().min(1),
    wholeNumber,
    z.string().regex(/^[0-9]{1,16}-[0-9]{1,20}$/),
    wholeNumber,
  ])
  .transform(
    ([generation, seq, tailId, tailSeq]) =>
      ({ generation, seq, tailId, tailSeq }) satisfies PreviousLog,
  );

/** Reads the reply to `HMGET meta …PREVIOUS_FIELDS`. Whatever is not understood counts as not there. */
export function parsePrevious(reply: unknown): PreviousLog | undefined {
  return previousSchema.safeParse(reply).data;
}
