/**
 * Which key signs when: pure, so that months can be tried out in a moment.
 *
 *      created ── published only ──▶ signs ──────────▶ verifies only ──▶ removed
 *      createdAt      prepublishS    signsFrom … the successor's signsFrom   publishedUntil
 *
 * A successor is created `prepublishS` before the time of the key that signs is over, so that every
 * node has fetched it before it meets its tokens. Where that was missed (nobody was running), the
 * key that signs goes on until its successor has been published for that long: there is never a
 * moment without a key. Only a key that has no elder signs at once. When a key is followed, it stays
 * published until the last token that it may have signed has expired everywhere.
 *
 * Everything follows from the stored times and the clock, so instances that see the same rows agree
 * on the key without a word between them. One that cannot see the rows any more may not know of a
 * successor. Until `signsUntil` there is none that signs; after that it goes on for `prepublishS`
 * since it last saw the rows, because a successor that it does not know was created later than
 * that and does not sign before, nor is the key removed before then.
 */

/** In Unix milliseconds. */
export interface KeyTimes {
  readonly createdAtMs: number;
  readonly signsFromMs: number;
  /** As planned; the successor's `signsFromMs` is when it really ends. */
  readonly signsUntilMs: number;
  readonly publishedUntilMs: number;
}

export interface RotatedKey extends KeyTimes {
  readonly kid: string;
}

export interface RotationSchedule {
  /** How long a key signs. */
  readonly rotationS: number;
  /** How long it is published before that: longer than a node takes to fetch keys again. */
  readonly prepublishS: number;
  readonly tokenLifetimeS: number;
  /** The largest difference between two machines' clocks. */
  readonly skewS: number;
}

export interface RotationPlan {
  /** The key to create now. */
  readonly create: KeyTimes | undefined;
  /** Keys that stay published for longer than it was written down. */
  readonly extend: readonly { readonly kid: string; readonly publishedUntilMs: number }[];
  /** The `kid`s of keys that no living token needs. */
  readonly remove: readonly string[];
}

/** What a key stays published for beyond the last token, the skew and all that is forgotten here. */
const RETENTION_MARGIN_S = 60;

/** Nodes accept no set of more than 64 keys. */
const KEYS_AT_ONCE_MAX = 32;

/** Why these times cannot be kept, in one line; undefined where they can. */
export function faultOfSchedule(schedule: RotationSchedule): string | undefined {
  const { rotationS, prepublishS, tokenLifetimeS, skewS } = schedule;
  if (!(prepublishS > 0 && tokenLifetimeS > 0 && skewS >= 0)) {
    return "times have to be positive";
  }
  if (!(rotationS >= prepublishS)) {
    return `keys that rotate every ${rotationS} s cannot be published ${prepublishS} s before`;
  }
  if (retentionMs(schedule) > (KEYS_AT_ONCE_MAX - 3) * rotationS * 1000) {
    return `keys that rotate every ${rotationS} s are too many while their tokens live`;
  }
  return undefined;
}

/** By the time from which they sign; the `kid` decides between equals, for all instances alike. */
export function inOrder<K extends RotatedKey>(keys: readonly K[]): readonly K[] {
  return [...keys].sort((a, b) => a.signsFromMs - b.signsFromMs || (a.kid < b.kid ? -1 : 1));
}

/**
 * The key that signs at `nowMs`: the youngest one whose time has come. Where none has (this clock is
 * behind that of whoever created the first one), it is the eldest: better a little early than none.
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
 * Whether one may still sign with this key, having last seen the stored keys `seenAgeMs` ago.
 */
export function maySign(
  key: KeyTimes,
  nowMs: number,
  seenAgeMs: number,
  { prepublishS }: RotationSchedule,
): boolean {
  return nowMs < key.signsUntilMs || seenAgeMs < prepublishS * 1000;
}

/** What has to be changed in the stored keys now; nothing, most of the time. */
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
  // One that is much too late was created by a clock that was wrong, and rotation must not wait for
  // it. One created a moment ago by a clock that is ahead of this one is not too late.
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

/** How long after its last token a key is still needed: twice the skew, as for the horizon. */
function retentionMs({ tokenLifetimeS, skewS }: RotationSchedule): number {
  return (tokenLifetimeS + 2 * skewS + RETENTION_MARGIN_S) * 1000;
}
