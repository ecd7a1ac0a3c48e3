/**
 * Which key signs when. Pure, so that tests can run through months.
 *
 *      created ── published only ──▶ signs ──────────▶ verifies only ──▶ removed
 *      createdAt      prepublishS    signsFrom … the successor's signsFrom   publishedUntil
 *
 * A successor is created `prepublishS` before the signing key's time ends, so that every node has
 * fetched it before it sees its tokens. If that was missed (no instance was running), the signing
 * key continues until its successor has been published for that long: there is always a key. Only
 * the very first key signs at once. A replaced key stays published until the last token that it may
 * have signed has expired everywhere.
 *
 * Everything follows from the stored times and the clock, so instances that see the same rows agree
 * on the key without talking to each other. An instance that cannot read the rows may not know of a
 * successor. Until `signsUntil` no successor signs; after that it may go on for `prepublishS` since
 * it last read the rows, because an unknown successor was created after that and does not sign
 * earlier, nor is the key removed before then.
 */

/** In Unix milliseconds. */
export interface KeyTimes {
  readonly createdAtMs: number;
  readonly signsFromMs: number;
  /** As planned; signing really ends at the successor's `signsFromMs`. */
  readonly signsUntilMs: number;
  readonly publishedUntilMs: number;
}

export interface RotatedKey extends KeyTimes {
  readonly kid: string;
}

export interface RotationSchedule {
  /** How long a key signs. */
  readonly rotationS: number;
  /** How long it is published before that: longer than a node's interval for fetching keys. */
  readonly prepublishS: number;
  readonly tokenLifetimeS: number;
  /** The largest difference between two machines' clocks. */
  readonly skewS: number;
}

export interface RotationPlan {
  /** The key to create now. */
  readonly create: KeyTimes | undefined;
  /** Keys that must stay published longer than stored. */
  readonly extend: readonly { readonly kid: string; readonly publishedUntilMs: number }[];
  /** The `kid`s of keys that no valid token needs. */
  readonly remove: readonly string[];
}

/** How long a key stays published beyond its last token and the skew. */
const RETENTION_MARGIN_S = 60;

/** Half of the 64 keys that nodes accept in a set. */
const KEYS_AT_ONCE_MAX = 32;

/** Why this schedule is impossible, in one line; undefined if it is not. */
export function faultOfSchedule(schedule: RotationSchedule): string | undefined {
  const { rotationS, prepublishS, tokenLifetimeS, skewS } = schedule;
  if (!(prepublishS > 0 && tokenLifetimeS > 0 && skewS >= 0)) {
    return "times must be positive";
  }
  if (!(rotationS >= prepublishS)) {
    return `keys that rotate every ${rotationS} s cannot be published ${prepublishS} s in advance`;
  }
  if (retentionMs(schedule) > (KEYS_AT_ONCE_MAX - 3) * rotationS * 1000) {
    return `keys that rotate every ${rotationS} s are too many at once for the lifetime of their tokens`;
  }
  return undefined;
}

/** By the time from which they sign; ties are broken by `kid`, the same on all instances. */
export function inOrder<K extends RotatedKey>(keys: readonly K[]): readonly K[] {
  return [...keys].sort((a, b) => a.signsFromMs - b.signsFromMs || (a.kid < b.kid ? -1 : 1));
}

/**
 * The key that signs at `nowMs`: the latest whose time has come. If none has (this clock is behind
 * that of the instance that created the first key), the earliest: better a little early than none.
 */
export function signingKeyAt<K extends RotatedKey>(
  keys: readonly K[],
  nowMs: number,
): K | undefined {
  const ordered = inOrder(keys);
  return ordered.findLast(({ signsFromMs }) => signsFromMs <= nowMs) ?? ordered[0];
}

/** The key that signs after this one. */
export function successorOf<K extends RotatedKey>(keys: readonly K[], key: K): K | undefined {
  const ordered = inOrder(keys);
  return ordered[ordered.findIndex(({ kid }) => kid === key.kid) + 1];
}

/**
 * Whether this key may still sign, if the stored keys were last read `seenAgeMs` ago.
 */
export function maySign(
  key: KeyTimes,
  nowMs: number,
  seenAgeMs: number,
  { prepublishS }: RotationSchedule,
): boolean {
  return nowMs < key.signsUntilMs || seenAgeMs < prepublishS * 1000;
}

/** What has to be changed in the stored keys now; usually nothing. */
export function planRotation(
  keys: readonly RotatedKey[],
  nowMs: number,
  schedule: RotationSchedule,
): RotationPlan {
  const signing = signingKeyAt(keys, nowMs);
  if (signing === undefined) {
    return { create: timesFrom(nowMs, nowMs, schedule), extend: [], remove: [] };
  }
  const create = planSuccessor(keys, signing, nowMs, schedule);
  return {
    create,
    extend: planExtensions(keys, create, nowMs, schedule),
    remove: keys
      .filter((key) => key.publishedUntilMs <= nowMs && key.signsFromMs < signing.signsFromMs)
      .map(({ kid }) => kid),
  };
}

function planSuccessor(
  keys: readonly RotatedKey[],
  signing: RotatedKey,
  nowMs: number,
  schedule: RotationSchedule,
): KeyTimes | undefined {
  const prepublishMs = schedule.prepublishS * 1000;
  if (nowMs < signing.signsUntilMs - prepublishMs) return undefined;
  const fromMs = Math.max(signing.signsUntilMs, nowMs + prepublishMs);
  const successor = successorOf(keys, signing);
  // A successor that is much too late was created with a wrong clock, and rotation must not wait
  // for it. One created a moment ago by a clock that is slightly ahead is not too late.
  const lateFromMs = fromMs + 2 * schedule.skewS * 1000;
  if (successor !== undefined && successor.signsFromMs <= lateFromMs) return undefined;
  return timesFrom(nowMs, fromMs, schedule);
}

function planExtensions(
  keys: readonly RotatedKey[],
  created: KeyTimes | undefined,
  nowMs: number,
  schedule: RotationSchedule,
): RotationPlan["extend"] {
  const starts = [...keys, ...(created === undefined ? [] : [created])]
    .map(({ signsFromMs }) => signsFromMs)
    .sort((a, b) => a - b);
  return keys.flatMap((key) => {
    const endMs = starts.find((startMs) => startMs > key.signsFromMs) ?? key.signsUntilMs;
    const publishedUntilMs = endMs + retentionMs(schedule);
    if (endMs <= nowMs || publishedUntilMs <= key.publishedUntilMs) return [];
    return [{ kid: key.kid, publishedUntilMs }];
  });
}

function timesFrom(nowMs: number, signsFromMs: number, schedule: RotationSchedule): KeyTimes {
  const signsUntilMs = signsFromMs + schedule.rotationS * 1000;
  return {
    createdAtMs: nowMs,
    signsFromMs,
    signsUntilMs,
    publishedUntilMs: signsUntilMs + retentionMs(schedule),
  };
}

/** How long a key is needed after it stops signing: twice the skew, as for the horizon. */
function retentionMs({ tokenLifetimeS, skewS }: RotationSchedule): number {
  return (tokenLifetimeS + 2 * skewS + RETENTION_MARGIN_S) * 1000;
}
