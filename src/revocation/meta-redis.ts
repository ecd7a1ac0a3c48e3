/** `meta` as it stands in Redis: a hash of strings. */
import { z } from "zod";
import type { LogMeta, MetaReply } from "./revocation-log.js";

/** The fields in the order in which they are asked for. */
export const META_FIELDS = [
  "generation",
  "seq",
  "first_seq",
  "run_id",
  "authority",
  "horizon_s",
  "partitions",
  "covers_from",
  "restoring",
] as const;

const wholeNumber = z
  .string()
  .regex(/^(0|[1-9][0-9]{0,15})$/)
  .transform(Number);

const metaSchema = z
  .tuple([
    z.string().min(1),
    wholeNumber,
    wholeNumber,
    z.string(),
    z.enum(["database", "redis"]),
    wholeNumber,
    wholeNumber,
    wholeNumber,
    z.string().nullable(),
  ])
  .transform(
    ([generation, seq, firstSeq, runId, authority, horizonS, partitions, covers, marker]) =>
      ({
        generation,
        seq,
        firstSeq,
        runId,
        authority,
        horizonS,
        partitions,
        coversFromMs: covers,
        restoring: marker !== null,
      }) satisfies LogMeta,
  );

/** The marker stands last. */
const markedSchema = z
  .array(z.unknown())
  .length(META_FIELDS.length)
  .refine((values) => typeof values.at(-1) === "string");

/**
 * Reads the reply to `HMGET meta …META_FIELDS`. While a log is restored its facts are gone or half
 * written, and only the marker counts.
 */
export function parseMeta(reply: unknown): MetaReply {
  if (Array.isArray(reply) && reply.every((value) => value === null)) return "missing";
  const parsed = metaSchema.safeParse(reply);
  if (parsed.success) return parsed.data;
  return markedSchema.safeParse(reply).success ? "restoring" : "unreadable";
}
