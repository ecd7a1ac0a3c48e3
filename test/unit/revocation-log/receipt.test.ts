import { describe, expect, it } from "@jest/globals";
import { waitUntil } from "../../../dev/wait-for.js";
import { systemClock } from "../../../src/runtime/clock.js";
import {
  ReceiptCollector,
  hasApplied,
  isSilent,
  type NodeRows,
} from "../../../src/revocation-log/receipt.js";
import { RevocationLogError } from "../../../src/revocation-log/revocation-log.js";

const row = {
  seenMs: 10_000,
  generation: "g",
  seq: 5,
  maxStalenessMs: 1000,
  onStale: "deny",
} as const;
const entry = { generation: "g", seq: 6, entryId: "1000-6" };
/** To groups of nodes that read in time. */
const deliveredId = "1000-7";

/** Answers with each of `seqs` in turn for a node, the last one for ever; null: a silent node. */
function rowsOf(nodes: Record<string, readonly (number | null)[]>) {
  const looksAtMs: number[] = [];
  const nodeRows = (): Promise<NodeRows> => {
    const look = looksAtMs.push(performance.now()) - 1;
    const rows = Object.entries(nodes).map(([node, seqs]) => {
      const seq = seqs[Math.min(look, seqs.length - 1)] ?? null;
      const seen = seq === null ? { seenMs: 7_999 } : { seq };
      return { node, group: `${node}:ab:1`, row: { ...row, ...seen }, deliveredId };
    });
    return Promise.resolve({ serverMs: 10_000, rows });
  };
  return { nodeRows, looksAtMs };
}

/** On a machine that stands still now and then; what it must never do, `look` itself asserts. */
const atLeastOnce = (what: string, look: () => Promise<boolean>) =>
  waitUntil(look, { what, timeoutMs: 30_000 });

describe("a node's row", () => {
  it("is silent once its last proof must be older than its own limit", () => {
    // Written twice within the limit of 1 s; a read takes half a second at the most.
    expect(isSilent(row, 12_000)).toBe(false);
    expect(isSilent(row, 12_001)).toBe(true);
  });

  it("is written at least once a second, however long its limit", () => {
    const patient = { ...row, maxStalenessMs: 60_000 };
    expect(isSilent(patient, 71_500)).toBe(false);
    expect(isSilent(patient, 71_501)).toBe(true);
  });

  it("confirms an entry of its own generation up to its seq", () => {
    expect(hasApplied(row, { generation: "g", seq: 5 })).toBe(true);
    expect(hasApplied(row, { generation: "g", seq: 6 })).toBe(false);
    expect(hasApplied(row, { generation: "other", seq: 1 })).toBe(false);
  });
});

describe("waiting for a receipt", () => {
  it("ends when every node has applied the entry", async () => {
    const desk = new ReceiptCollector(rowsOf({ a: [6], b: [5, 5, 7] }), systemClock);
    const receipt = await desk.waitFor(entry, 5000);
    expect(receipt.applied.map(({ node }) => node)).toEqual(["a", "b"]);
    expect(receipt.pending).toEqual([]);
    const [first, second] = receipt.applied;
    expect(first?.ms).toBeLessThan(second?.ms ?? 0);
  });

  it("does not wait for a silent node, and names it", async () => {
    const desk = new ReceiptCollector(rowsOf({ a: [6], b: [null] }), systemClock);
    const receipt = await desk.waitFor(entry, 5000);
    expect(receipt).toMatchObject({ pending: [], silent: [{ node: "b", onStale: "deny" }] });
  });

  it("names the nodes that have not applied it when the time is over", async () => {
    const desk = new ReceiptCollector(rowsOf({ a: [6], b: [5] }), systemClock);
    const receipt = await desk.waitFor(entry, 60);
    expect(receipt).toMatchObject({ pending: [{ node: "b" }], silent: [] });
  });

  describe("with nodes of a former log", () => {
    const limits = { maxStalenessMs: 1000, onStale: "deny" } as const;
    const former = [
      { ...limits, node: "left", retired: false },
      { ...limits, node: "closed", retired: true },
      { ...limits, node: "joined", retired: false },
      { ...limits, node: "copied", retired: false },
      { ...limits, node: "joining", retired: false },
    ];
    const told = (node: string) => ({ ...limits, node, reason: "former_log" });
    const receipt = async () => {
      const rows = rowsOf({ joined: [6], copied: [null], joining: [5] });
      const nodeRows = async () => ({ ...(await rows.nodeRows()), former });
      return new ReceiptCollector({ nodeRows }, systemClock).waitFor(entry, 20);
    };

    it("is pending for each that gives no sign of life in this one, and says why", async () => {
      const { applied, pending } = await receipt();
      expect(applied).toMatchObject([{ node: "joined" }]);
      expect(pending).toEqual([{ ...limits, node: "joining" }, told("left"), told("copied")]);
    });

    it("counts one whose log was retired as silent, and names nobody twice", async () => {
      expect((await receipt()).silent).toEqual([told("closed")]);
    });

    it("waits for one that joins in time", async () => {
      let looks = 0;
      const nodeRows = (): Promise<NodeRows> => {
        looks += 1;
        const here = { node: "left", group: "left:ab:2", row: { ...row, seq: 6 }, deliveredId };
        const rows = looks < 4 ? [] : [here];
        return Promise.resolve({ serverMs: 10_000, rows, former: former.slice(0, 1) });
      };
      const { applied, pending } = await new ReceiptCollector({ nodeRows }, systemClock).waitFor(
        entry,
        10_000,
      );
      expect(applied).toMatchObject([{ node: "left" }]);
      expect(pending).toEqual([]);
    });
  });

  it("ends at once where there is no node", async () => {
    const desk = new ReceiptCollector(rowsOf({}), systemClock);
    const receipt = await desk.waitFor(entry, 5000);
    expect(receipt).toEqual({ applied: [], pending: [], silent: [] });
  });

  it("keeps two processes under one node id apart", async () => {
    const both = {
      nodeRows: () =>
        Promise.resolve({
          serverMs: 10_000,
          rows: [
            { node: "a", group: "a:01:1", row: { ...row, seq: 6 }, deliveredId },
            { node: "a", group: "a:02:1", row, deliveredId },
          ],
        }),
    };
    const receipt = await new ReceiptCollector(both, systemClock).waitFor(entry, 60);
    expect(receipt.pending.map(({ node }) => node)).toEqual(["a"]);
    expect(receipt.applied).toHaveLength(1);
  });

  it("looks quickly at first and at most 20 times a second later, however many wait", async () => {
    await atLeastOnce("many looks", async () => {
      const rows = rowsOf({ a: [5] });
      const desk = new ReceiptCollector(rows, systemClock);
      const from = performance.now();
      await Promise.all(Array.from({ length: 50 }, () => desk.waitFor(entry, 400)));
      const looksAt = rows.looksAtMs.map((ms) => ms - from);
      expect(looksAt.filter((ms) => ms < 100).length).toBeLessThan(12);
      const late = looksAt.filter((ms) => ms > 100);
      const gaps = late.slice(1).map((ms, i) => ms - (late[i] ?? 0));
      expect(Math.min(...gaps)).toBeGreaterThan(48);
      return looksAt.filter((ms) => ms < 50).length > 2 && gaps.length > 2;
    });
  });

  it("looks quickly for a wait that begins while others have long waited", async () => {
    await atLeastOnce("a quick look", async () => {
      const seqs = [5];
      const rows = rowsOf({ a: seqs });
      const desk = new ReceiptCollector(rows, systemClock);
      const from = performance.now();
      // Far longer than it takes to look slowly: its end would end the looks.
      const patient = desk.waitFor(entry, 60_000);
      const slow = () => (rows.looksAtMs.at(-1) ?? from) - from > 50;
      await waitUntil(slow, { what: "slow looks", timeoutMs: 30_000 });
      const lastLookMs = rows.looksAtMs.at(-1) ?? 0;
      await desk.waitFor({ ...entry, seq: 5 }, 400);
      const gapMs = performance.now() - lastLookMs;
      seqs.push(6);
      await patient;
      // Without the second wait the next look would have come 50 ms after that one.
      return gapMs < 45;
    });
  });

  it("rejects when the rows cannot be read", async () => {
    const error = new RevocationLogError("unavailable", "gone");
    const desk = new ReceiptCollector({ nodeRows: () => Promise.reject(error) }, systemClock);
    await expect(desk.waitFor(entry, 5000)).rejects.toBe(error);
  });
});
