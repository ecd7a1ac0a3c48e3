/**
 * Light readers, many in one process: each has a node's follower, with a connection, a group and a
 * local state of its own, and lacks what a node has besides: gRPC port, keys, metrics.
 *
 * Started with an IPC channel, and ended by its parent (`reader-fleet.ts`). Each message is an order.
 */
import { randomBytes } from "node:crypto";
import { monitorEventLoopDelay, type IntervalHistogram } from "node:perf_hooks";

import { Follower } from "../../src/authz/follow/follower.js";
import type { Freshness } from "../../src/authz/follow/follower-state.js";
import { LocalState } from "../../src/authz/follow/local-state.js";
import { redisConnections } from "../../src/revocation-log/connection-redis.js";
import type { LogEntry } from "../../src/revocation-log/entry.js";
import { LOG_KEYS } from "../../src/revocation-log/partition.js";
import { revocationLogInRedis } from "../../src/revocation-log/revocation-log-redis.js";
import { systemClock } from "../../src/runtime/clock.js";
import { CLOCK_SKEW_S, HORIZON_S } from "./authz-bench-deployment.js";
import { monotonicMs } from "./monotonic.js";
import { readerOrderSchema, type ReaderOrder, type ReaderReport } from "./reader-messages.js";

/** How often all readers are looked at. */
const LOOK_MS = 5;
const LOOP_RESOLUTION_MS = 1;
const MAX_STALENESS_MS = 1000;
const REQUIRED = {
  skewMs: CLOCK_SKEW_S * 1000,
  horizonS: HORIZON_S,
  minReplicas: 0,
  unkeptMaxMs: undefined,
};

type FollowOrder = Extract<ReaderOrder, { readonly kind: "follow" }>;
type WatchOrder = Extract<ReaderOrder, { readonly kind: "watch" }>;

class Watch {
  readonly #order: WatchOrder;
  readonly #readers: number;
  readonly #appliedAtMs: Float64Array<ArrayBuffer>;
  readonly #loop: IntervalHistogram = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS });
  readonly #cpu = process.cpuUsage();
  #pending: number;
  stalenessMaxMs = 0;

  constructor(order: WatchOrder, readers: number) {
    this.#order = order;
    this.#readers = readers;
    this.#appliedAtMs = new Float64Array(readers * (order.each ? order.count : 1)).fill(NaN);
    this.#pending = readers;
    this.#loop.enable();
  }

  /** True once every reader has applied the last entry. */
  applied(reader: number, seq: number): boolean {
    const { firstSeq, count, each } = this.#order;
    const index = seq - firstSeq;
    const isLast = index === count - 1;
    if (index < 0 || index >= count || !(each || isLast)) return false;
    const place = (each ? index * this.#readers : 0) + reader;
    // An entry that is read again was applied the first time.
    if (!Number.isNaN(this.#appliedAtMs[place])) return false;
    this.#appliedAtMs[place] = monotonicMs();
    if (isLast) this.#pending -= 1;
    return isLast && this.#pending === 0;
  }

  end(disturbed: number): ReaderReport {
    this.#loop.disable();
    const late = (ns: number) => Math.max(0, ns / 1e6 - LOOP_RESOLUTION_MS);
    return {
      kind: "applied",
      appliedAtMs: this.#appliedAtMs,
      stalenessMaxMs: this.stalenessMaxMs,
      loop: { p999Ms: late(this.#loop.percentile(99.9)), maxMs: late(this.#loop.max) },
      cpuMs: cpuSince(this.#cpu),
      disturbed,
    };
  }
}

class LightReaders {
  readonly #followers: readonly Follower[];
  /** As each was last seen. */
  readonly #freshness: Freshness[];
  readonly #freshAtMs: Float64Array<ArrayBuffer>;
  readonly #report: (report: ReaderReport) => void;
  readonly #cpu = process.cpuUsage();
  #unfresh: number;
  #toldFresh = false;
  #watch: Watch | undefined;
  #disturbed = 0;

  constructor(order: FollowOrder, report: (report: ReaderReport) => void) {
    this.#report = report;
    this.#followers = Array.from({ length: order.readers }, (_, reader) =>
      this.#follower(order, reader),
    );
    this.#freshness = this.#followers.map((follower) => follower.freshness);
    this.#freshAtMs = new Float64Array(order.readers);
    this.#unfresh = order.readers;
    for (const follower of this.#followers) follower.start();
    setInterval(() => this.#look(), LOOK_MS);
  }

  watch(order: WatchOrder): void {
    this.#disturbed = 0;
    this.#watch = new Watch(order, this.#followers.length);
    this.#report({ kind: "watching" });
  }

  #follower({ redisUrl, name, entriesMax }: FollowOrder, reader: number): Follower {
    return new Follower({
      log: revocationLogInRedis(redisConnections({ url: redisUrl }), LOG_KEYS, systemClock),
      state: new LocalState(entriesMax, systemClock),
      clock: systemClock,
      groupPrefix: `${name}-${reader}:${randomBytes(6).toString("hex")}`,
      required: REQUIRED,
      maxStalenessMs: MAX_STALENESS_MS,
      onStale: "deny",
      observer: {
        applied: (entry) => this.#applied(reader, entry),
        resync: () => undefined,
        continued: () => undefined,
        problem: (problem) => {
          if (problem !== undefined) this.#disturbed += 1;
        },
        unprotectedFailover: () => undefined,
      },
      random: Math.random,
    });
  }

  #applied(reader: number, { seq }: LogEntry): void {
    if (seq === undefined || this.#watch?.applied(reader, seq) !== true) return;
    // What is proven by this very read is still to come.
    setTimeout(() => this.#endWatch(), LOOK_MS);
  }

  #endWatch(): void {
    this.#look();
    const watch = this.#watch;
    this.#watch = undefined;
    if (watch !== undefined) this.#report(watch.end(this.#disturbed));
  }

  #look(): void {
    const nowMs = performance.now();
    const sinceProofMs = ({ provenAt }: Freshness) => nowMs - (provenAt?.monotonicMs ?? nowMs);
    for (const [reader, { freshness }] of this.#followers.entries()) {
      const seen = this.#freshness[reader] ?? freshness;
      if (seen.provenAt === undefined && freshness.provenAt !== undefined) {
        this.#freshAtMs[reader] = monotonicMs();
        this.#unfresh -= 1;
      }
      // A proof may have come right before this look: until then the one before it counted.
      if (this.#watch !== undefined) {
        this.#watch.stalenessMaxMs = Math.max(this.#watch.stalenessMaxMs, sinceProofMs(seen));
      }
      this.#freshness[reader] = freshness;
    }
    if (this.#unfresh > 0 || this.#toldFresh) return;
    this.#toldFresh = true;
    this.#report({ kind: "fresh", freshAtMs: this.#freshAtMs, cpuMs: cpuSince(this.#cpu) });
  }
}

function cpuSince(start: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}

const report = (one: ReaderReport): void => void process.send?.(one);
let readers: LightReaders | undefined;
// Without a parent the reports are read by no one.
process.on("disconnect", () => process.exit());
process.on("message", (message) => {
  const order = readerOrderSchema.parse(message);
  if (order.kind === "watch") readers?.watch(order);
  else readers = new LightReaders(order, report);
});
report({ kind: "ready" });
