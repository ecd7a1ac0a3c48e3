/** The API's format for times: RFC 3339 in UTC, with milliseconds. */
export function timeBody(ms: number): string {
  return new Date(ms).toISOString();
}
