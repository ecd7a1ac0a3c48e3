/** Connections that the load generator keeps open to each side. */
export const CONNECTIONS_MAX = 64;

/** What ends a run, or makes an answer count as a failure. */
export const LIMITS = {
  /** At 500 requests/s as many as become due in two seconds. */
  inFlightMax: 1000,
  answerTimeoutMs: 5000,
} as const;
