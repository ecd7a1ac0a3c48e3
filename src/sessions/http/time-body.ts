/** A time as answers write it: RFC 3339 in UTC, with milliseconds. */
export function timeBody(ms: number): string {
  return new Date(ms).toISOString();
}
