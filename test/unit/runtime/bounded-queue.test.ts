import { describe, expect, it } from "@jest/globals";
import { waitUntil } from "../../../dev/wait-for.js";
import { BoundedQueue } from "../../../src/runtime/bounded-queue.js";

/** Work that lasts until it is told to end. */
class Held {
  readonly begun: string[] = [];
  readonly #ends = new Map<string, (error?: Error) => void>();

  work(name: string): () => Promise<string> {
    return () => {
      this.begun.push(name);
      return new Promise((resolve, reject) => {
        this.#ends.set(name, (error) => {
          if (error === undefined) resolve(name);
          else reject(error);
        });
      });
    };
  }

  /** Waits until the work has begun, then ends it. */
  async end(name: string, error?: Error): Promise<void> {
    await this.untilBegun(name);
    this.#ends.get(name)?.(error);
  }

  async untilBegun(name: string): Promise<void> {
    await waitUntil(() => this.#ends.has(name), { what: `${name} to begin`, timeoutMs: 30_000 });
  }
}

const queueOf = (limits: { concurrency?: number; queueMax?: number; waitMaxMs?: number } = {}) =>
  new BoundedQueue(
    { concurrency: 2, queueMax: 2, waitMaxMs: 10_000, ...limits },
    (why) => new Error(`refused: ${why}`),
  );

describe("a bounded queue", () => {
  it("runs as many at a time as it may, the rest in the order in which they came", async () => {
    const [queue, held] = [queueOf(), new Held()];
    const all = ["a", "b", "c", "d"].map((name) => queue.run(held.work(name)));
    await held.untilBegun("b");
    expect(held.begun).toEqual(["a", "b"]);
    expect([queue.running, queue.queued]).toEqual([2, 2]);
    await held.end("b");
    await all[1];
    await held.untilBegun("c");
    expect(held.begun).toEqual(["a", "b", "c"]);
    await held.end("a");
    await all[0];
    await held.untilBegun("d");
    expect(held.begun).toEqual(["a", "b", "c", "d"]);
    await held.end("d");
    await held.end("c");
    expect(await Promise.all(all)).toEqual(["a", "b", "c", "d"]);
    expect([queue.running, queue.queued]).toEqual([0, 0]);
  });

  it("refuses one more than may wait, and takes one again when there is room", async () => {
    const [queue, held] = [queueOf({ concurrency: 1, queueMax: 1 }), new Held()];
    const first = queue.run(held.work("a"));
    const second = queue.run(held.work("b"));
    await expect(queue.run(held.work("c"))).rejects.toThrow("refused: full");
    await held.end("a");
    await first;
    const fourth = queue.run(held.work("d"));
    await held.end("b");
    await second;
    await held.end("d");
    expect(await fourth).toBe("d");
    expect(held.begun).toEqual(["a", "b", "d"]);
  });

  it("refuses who has waited too long, without ever beginning the work", async () => {
    const [queue, held] = [queueOf({ concurrency: 1, waitMaxMs: 20 }), new Held()];
    const first = queue.run(held.work("a"));
    const waited = queue.run(held.work("b"));
    await expect(waited).rejects.toThrow("refused: timeout");
    expect(queue.queued).toBe(0);
    await held.end("a");
    expect(await first).toBe("a");
    expect(held.begun).toEqual(["a"]);
    expect(queue.running).toBe(0);
  });

  it("leaves no timer behind for work that waited and then had its turn", async () => {
    const timers = () => process.getActiveResourcesInfo().filter((one) => one === "Timeout").length;
    const [queue, held] = [queueOf({ concurrency: 1 }), new Held()];
    const before = timers();
    const first = queue.run(held.work("a"));
    const waited = queue.run(held.work("b"));
    expect(timers()).toBe(before + 1);
    await held.end("a");
    await held.end("b");
    await Promise.all([first, waited]);
    expect(timers()).toBe(before);
  });

  it("gives the place on after work that failed", async () => {
    const [queue, held] = [queueOf({ concurrency: 1 }), new Held()];
    const failing = queue.run(held.work("a"));
    const next = queue.run(held.work("b"));
    const failed = expect(failing).rejects.toThrow("broken");
    await held.end("a", new Error("broken"));
    await failed;
    await held.end("b");
    expect(await next).toBe("b");
  });

  it("refuses what waits and what comes after it was closed, and waits for what runs", async () => {
    const [queue, held] = [queueOf({ concurrency: 1 }), new Held()];
    const running = queue.run(held.work("a"));
    const waiting = queue.run(held.work("b"));
    let isClosed = false;
    const closing = queue.close().then(() => (isClosed = true));
    await expect(waiting).rejects.toThrow("refused: closed");
    await expect(queue.run(held.work("c"))).rejects.toThrow("refused: closed");
    expect(isClosed).toBe(false);
    await held.end("a");
    expect(await running).toBe("a");
    await closing;
    await queue.close();
    expect(held.begun).toEqual(["a"]);
  });

  it("lets the event loop do other things between two pieces of work that wait for nothing", async () => {
    const queue = queueOf({ concurrency: 1, queueMax: 100 });
    const seen: string[] = [];
    const all = ["first", "second", "third"].map((name) =>
      queue.run(() => Promise.resolve(seen.push(name))),
    );
    setImmediate(() => seen.push("something else"));
    await Promise.all(all);
    expect(seen.slice(0, 3)).toContain("something else");
  });

  it.each([{ concurrency: 0 }, { queueMax: -1 }, { waitMaxMs: 0 }, { concurrency: 1.5 }])(
    "cannot be made with %p",
    (limits) => {
      expect(() => queueOf(limits)).toThrow(RangeError);
    },
  );
});
