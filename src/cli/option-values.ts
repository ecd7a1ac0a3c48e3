/** Parses the values of the commands' options. */
import { InvalidArgumentError } from "commander";
import {
  isIdentifier,
  issuerNameSchema,
  NAMED_EPOCH_MAX,
  sha256Schema,
} from "../tokens/identifier.js";

const WAIT_MAX_MS = 60_000;
const REASON_MAX_LENGTH = 256;

export function parseId(text: string, previous: string | undefined): string {
  refuseTwice(previous);
  // Bytes that are not UTF-8 arrive as U+FFFD, which would be another id.
  if (text.includes("\uFFFD")) throw new InvalidArgumentError("It must be UTF-8.");
  if (isIdentifier(text)) return text;
  throw new InvalidArgumentError("It must be 1 to 256 characters without control characters.");
}

export function parseIssuer(text: string, previous: string | undefined): string {
  refuseTwice(previous);
  if (issuerNameSchema.safeParse(text).success && !text.includes("\uFFFD")) return text;
  throw new InvalidArgumentError("It must be 1 to 2048 characters without control characters.");
}

export function parseThumbprint(text: string, previous: string | undefined): string {
  refuseTwice(previous);
  if (sha256Schema.safeParse(text).success) return text;
  throw new InvalidArgumentError("It must be SHA-256 in base64url: 43 characters.");
}

export function parseReason(text: string): string {
  if (text.isWellFormed() && text.length <= REASON_MAX_LENGTH) return text;
  throw new InvalidArgumentError(`It must be at most ${REASON_MAX_LENGTH} characters.`);
}

export function parseWait(text: string): number {
  const value = /^[0-9]{1,6}$/.test(text) ? Number(text) : NaN;
  if (value <= WAIT_MAX_MS) return value;
  throw new InvalidArgumentError(`It must be milliseconds from 0 to ${WAIT_MAX_MS}.`);
}

function refuseTwice(previous: unknown): void {
  if (previous !== undefined) throw new InvalidArgumentError("It must be given once.");
}

export function parseEpoch(text: string, previous: number | undefined): number {
  refuseTwice(previous);
  const value = /^(0|[1-9][0-9]{0,15})$/.test(text) ? Number(text) : NaN;
  if (value <= NAMED_EPOCH_MAX) return value;
  throw new InvalidArgumentError(
    "It must be a whole number of at most 2^52, so that the epoch can rise after it.",
  );
}

const ISO_TIME = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9]{2}:[0-9]{2})$/;

/**
 * Unix seconds, rounded up. Milliseconds are refused: they would revoke everything for ever. So are
 * times before 1970, which no token has and no entry can hold.
 */
export function parseTime(text: string, previous: number | "now" | undefined): number | "now" {
  refuseTwice(previous);
  if (text === "now") return "now";
  if (/^[1-9][0-9]{0,9}$/.test(text)) return Number(text);
  const parsed = ISO_TIME.test(text) ? Date.parse(text) : NaN;
  if (parsed >= 0) return Math.ceil(parsed / 1000);
  throw new InvalidArgumentError(
    "It must be `now`, Unix seconds, or a time from 1970 on with its zone like " +
      "2026-01-31T12:00:00Z.",
  );
}
