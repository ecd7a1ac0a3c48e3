/**
 * When to read the nodes' rows again ("look") while a receipt is awaited.
 *
 * Most nodes have applied an entry within a few milliseconds, so looks are frequent at first: the
 * first one 4 ms after the wait began, and each later one after half the age of the youngest wait,
 * at about 4, 6, 9, 14, 20, 30, 46 ms. A node that has not confirmed by then is held up by something
 * slower (a read that blocks, an outage), and 20 looks a second are enough.
 *
 * A look reads every row and group, so its cost is bounded too. One of each costs about
 * 1 µs in Redis and 15 µs here (parsing); a pause of 0.05 ms a row leaves three quarters of this process to
 * others, however many wait. At 1,000 rows that is the slow pace from the start.
 */
const FIRST_LOOK_MS = 4;
const YOUNG_MS = 50;
const GAP_MIN_MS = 2;
const GAP_MS = 50;
const GAP_PER_ROW_MS = 0.05;
/** For any number of rows, so that no wait ends much later than requested. */
const GAP_FOR_ROWS_MAX_MS = 500;

export interface LastLook {
  /** When it was answered; same clock as everything here, milliseconds. */
  readonly doneAtMs: number;
  readonly rows: number;
}

/** When to look next, if the youngest wait began at `youngestMs`. */
export function nextLookAtMs(last: LastLook | undefined, youngestMs: number): number {
  const firstLookMs = youngestMs + FIRST_LOOK_MS;
  if (last === undefined) return firstLookMs;
  const { doneAtMs, rows } = last;
  const restMs = Math.max(GAP_MIN_MS, Math.min(GAP_FOR_ROWS_MAX_MS, rows * GAP_PER_ROW_MS));
  return Math.max(firstLookMs, doneAtMs + Math.max(restMs, gapAt(doneAtMs - youngestMs)));
}

/** The gap after a look at which the youngest wait was `ageMs` old; negative: it began later. */
function gapAt(ageMs: number): number {
  if (ageMs < FIRST_LOOK_MS) return 0;
  return ageMs < YOUNG_MS ? ageMs / 2 : GAP_MS;
}
