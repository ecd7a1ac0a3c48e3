/** Formats a location in a file, and its value, for messages. */
import { maskSecrets } from "./read-variables.js";

export type Location = readonly PropertyKey[];

/** Long enough for a URL, short enough for a line. */
const SHOWN_MAX_CODE_POINTS = 100;

/** `issuers[1].audience` */
export function locationText(place: Location): string {
  const parts = place.map((part) =>
    typeof part === "number" ? `[${part}]` : `.${shorten(String(part))}`,
  );
  return place.length === 0 ? "the file" : parts.join("").replace(/^\./, "");
}

export function valueAt(content: unknown, place: Location): unknown {
  let value = content;
  for (const part of place) {
    if (typeof value !== "object" || value === null) return undefined;
    value = new Map<PropertyKey, unknown>(Object.entries(value)).get(String(part));
  }
  return value;
}

/** The value in a few words, with possible secrets masked. */
export function describeValue(value: unknown): string {
  if (typeof value === "string") return shorten(maskSecrets(value));
  if (Array.isArray(value)) return value.length === 0 ? "[]" : "[…]";
  if (typeof value === "object" && value !== null) return "{…}";
  return String(value);
}

/** In one line, and not a long one. */
export function shorten(text: string): string {
  const points = Array.from(text.replace(/\p{Cc}/gu, "\ufffd"));
  if (points.length <= SHOWN_MAX_CODE_POINTS) return points.join("");
  return `${points.slice(0, SHOWN_MAX_CODE_POINTS).join("")}…`;
}
