/** Light readers in processes of their own, as the benchmark's main process sees them. */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { join } from "node:path";

import { repositoryRoot } from "../../dev/repository.js";
import { withTimeout } from "../../src/runtime/with-timeout.js";
import { monotonicMs } from "./monotonic.js";
import { runNext } from "./priority.js";
import {
  readerReportSchema,
  type Applied,
  type ReaderOrder,
  type ReaderReport,
} from "./reader-messages.js";

const READERS_ALONE_MAX = 10;
const REPORT_TIMEOUT_MS = 90_000;

/** When readers started, and when each was fresh; milliseconds of `monotonicMs`. */
export interface Started {
  readonly startedAtMs: number;
  readonly freshAtMs: readonly number[];
  readonly cpuMs: number;
}

/** What became of the entries that were watched. */
export interface Watched extends Omit<Applied, "kind" | "appliedAtMs"> {
  /** The moments at which the readers applied an entry, by entry. */
  readonly appliedAtMs: readonly (readonly number[])[];
}

export class ReaderFleet {
  readonly readers: number;
  readonly #children: readonly ReaderProcess[];

  private constructor(readers: number, children: readonly ReaderProcess[]) {
    this.readers = readers;
    this.#children = children;
  }

  /** Starts the processes, and no reader yet. */
  static async start(readers: number): Promise<ReaderFleet> {
    const processes = readers <= READERS_ALONE_MAX ? 1 : availableParallelism();
    const shares = Array.from({ length: processes }, (_, index) =>
      Math.floor((readers + index) / processes),
    );
    const children = shares.map((share) => new ReaderProcess(share));
    try {
      await Promise.all(children.map((child) => child.report("ready")));
    } catch (error) {
      for (const child of children) child.close();
      throw error;
    }
    return new ReaderFleet(readers, children);
  }

  get processes(): number {
    return this.#children.length;
  }

  /** Starts all readers together, and waits until each is fresh. */
  async follow(redisUrl: string, entriesMax: number): Promise<Started> {
    const startedAtMs = monotonicMs();
    const reports = await Promise.all(
      this.#children.map((child, index) => {
        const { readers } = child;
        const name = `readers-${index}`;
        return child.order({ kind: "follow", redisUrl, name, readers, entriesMax }, "fresh");
      }),
    );
    return {
      startedAtMs,
      freshAtMs: reports.flatMap(({ freshAtMs }) => [...freshAtMs]),
      cpuMs: sum(reports.map(({ cpuMs }) => cpuMs)),
    };
  }

  /** Settles once entries that are published from now on are watched, with what becomes of them. */
  async watch(
    firstSeq: number,
    count: number,
    options: { readonly each: boolean },
  ): Promise<{ readonly applied: Promise<Watched> }> {
    const order = { kind: "watch", firstSeq, count, ...options } as const;
    const applied = this.#children.map((child) => child.report("applied"));
    const watched = Promise.all(applied).then((reports) => this.#together(reports));
    watched.catch(() => undefined);
    await Promise.all(this.#children.map((child) => child.order(order, "watching")));
    return { applied: watched };
  }

  close(): void {
    for (const child of this.#children) child.close();
  }

  #together(reports: readonly Applied[]): Watched {
    const entries = (reports[0]?.appliedAtMs.length ?? 0) / (this.#children[0]?.readers ?? 1);
    const ofEntry = (entry: number) =>
      reports.flatMap(({ appliedAtMs }, index) => {
        const readers = this.#children[index]?.readers ?? 0;
        return [...appliedAtMs.subarray(entry * readers, (entry + 1) * readers)];
      });
    return {
      appliedAtMs: Array.from({ length: entries }, (_, entry) => ofEntry(entry)),
      stalenessMaxMs: Math.max(...reports.map((one) => one.stalenessMaxMs)),
      loop: {
        p999Ms: Math.max(...reports.map(({ loop }) => loop.p999Ms)),
        maxMs: Math.max(...reports.map(({ loop }) => loop.maxMs)),
      },
      cpuMs: sum(reports.map(({ cpuMs }) => cpuMs)),
      disturbed: sum(reports.map(({ disturbed }) => disturbed)),
    };
  }
}

class ReaderProcess {
  readonly readers: number;
  readonly #child: ChildProcess;
  readonly #ended: Promise<never>;

  constructor(readers: number) {
    this.readers = readers;
    const program = join(repositoryRoot(), "dist", "bench", "load", "light-readers.js");
    // Without the parent's own arguments for Node.
    this.#child = fork(program, { execArgv: [], serialization: "advanced" });
    // They are many, and must hold up neither Redis nor the parent.
    runNext(this.#child.pid);
    this.#ended = once(this.#child, "exit").then(() => {
      throw new Error("a process of readers has ended");
    });
    this.#ended.catch(() => undefined);
  }

  async order<Kind extends ReaderReport["kind"]>(
    order: ReaderOrder,
    kind: Kind,
  ): Promise<Extract<ReaderReport, { readonly kind: Kind }>> {
    const reported = this.report(kind);
    this.#child.send(order);
    return reported;
  }

  /** The next report of this kind. */
  async report<Kind extends ReaderReport["kind"]>(
    kind: Kind,
  ): Promise<Extract<ReaderReport, { readonly kind: Kind }>> {
    const ending = new AbortController();
    const reported = new Promise<Extract<ReaderReport, { readonly kind: Kind }>>((resolve) => {
      const listen = (message: unknown) => {
        const report = readerReportSchema.parse(message);
        if (isOfKind(report, kind)) resolve(report);
      };
      this.#child.on("message", listen);
      ending.signal.addEventListener("abort", () => this.#child.off("message", listen));
    });
    const overdue = () => new Error(`the readers did not report "${kind}" in time`);
    try {
      return await withTimeout(Promise.race([reported, this.#ended]), REPORT_TIMEOUT_MS, overdue);
    } finally {
      ending.abort();
    }
  }

  close(): void {
    this.#child.kill("SIGKILL");
  }
}

function isOfKind<Kind extends ReaderReport["kind"]>(
  report: ReaderReport,
  kind: Kind,
): report is Extract<ReaderReport, { readonly kind: Kind }> {
  return report.kind === kind;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
