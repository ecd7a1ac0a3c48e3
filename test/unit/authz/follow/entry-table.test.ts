import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { EntryTable, NONE } from "../../../../src/authz/follow/entry-table.js";

interface Key {
  readonly kind: number;
  readonly low: number;
  readonly high: number;
}

/** What the table has to do, told by a Map: its order is that of insertion. */
class Model {
  readonly entries = new Map<string, { key: Key; epoch: number }>();

  static nameOf({ kind, low, high }: Key): string {
    return `${kind} ${low} ${high}`;
  }

  hold(key: Key, epoch: number): void {
    const name = Model.nameOf(key);
    this.entries.delete(name);
    this.entries.set(name, { key, epoch });
  }
}

function valuesOf(epoch: number) {
  return { epoch, issuedBefore: epoch + 0.5, forgetAt: { wallMs: -epoch, monotonicMs: epoch / 3 } };
}

function hold(table: EntryTable, { kind, low, high }: Key, epoch: number): void {
  const known = table.find(kind, low, high);
  if (known !== NONE) table.refresh(known);
  table.setValues(known === NONE ? table.add(kind, low, high) : known, valuesOf(epoch));
}

function assertHolds(table: EntryTable, { kind, low, high }: Key, epoch: number | undefined): void {
  const entry = table.find(kind, low, high);
  expect(entry === NONE).toBe(epoch === undefined);
  if (epoch === undefined) return;
  const { issuedBefore, forgetAt } = valuesOf(epoch);
  expect(table.kindOf(entry)).toBe(kind);
  expect(table.epochOf(entry)).toBe(epoch);
  expect(table.issuedBeforeOf(entry)).toBe(issuedBefore);
  expect(table.forgetAtOf(entry)).toEqual(forgetAt);
}

/** Takes the entries out, oldest first, and gives their epochs. */
function emptied(table: EntryTable): readonly number[] {
  const epochs: number[] = [];
  while (table.oldest !== NONE) {
    epochs.push(table.epochOf(table.oldest));
    table.remove(table.oldest);
  }
  return epochs;
}

// Few hashes, so that many entries share their bucket, the lower half or the kind with another.
const keys = fc.record({
  kind: fc.nat(1),
  low: fc.oneof(fc.integer({ min: -4, max: 4 }), fc.constantFrom(2 ** 31 - 1, -(2 ** 31), 1 << 16)),
  high: fc.nat(2),
});
const steps = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant("hold" as const), key: keys, epoch: fc.maxSafeNat() }),
    fc.record({ do: fc.constant("remove" as const), key: keys, epoch: fc.constant(0) }),
    fc.record({ do: fc.constant("remove oldest" as const), key: keys, epoch: fc.constant(0) }),
  ),
  { maxLength: 150 },
);

describe("the table of entries", () => {
  it("holds what a map holds, in the order in which it was applied", () => {
    fc.assert(
      fc.property(steps, (all) => {
        const table = new EntryTable();
        const model = new Model();
        for (const { do: what, key, epoch } of all) {
          if (what === "hold") {
            hold(table, key, epoch);
            model.hold(key, epoch);
          } else {
            const [oldest] = model.entries.values();
            const { kind, low, high } = what === "remove" ? key : (oldest?.key ?? key);
            const entry = what === "remove" ? table.find(kind, low, high) : table.oldest;
            expect(entry === NONE).toBe(!model.entries.delete(Model.nameOf({ kind, low, high })));
            if (entry !== NONE) table.remove(entry);
          }
          expect(table.size).toBe(model.entries.size);
          assertHolds(table, key, model.entries.get(Model.nameOf(key))?.epoch);
        }
        for (const { key, epoch } of model.entries.values()) assertHolds(table, key, epoch);
        const epochs = [...model.entries.values()].map(({ epoch }) => epoch);
        expect(emptied(table)).toEqual(epochs);
      }),
      { numRuns: 1000 },
    );
  });

  it("holds as much after it has grown over many pages", () => {
    const table = new EntryTable();
    const numbers = Array.from({ length: 30_000 }, (_, n) => n);
    const low = (n: number) => Math.imul(n, 0x9e3779b1);
    for (const n of numbers) hold(table, { kind: 0, low: low(n), high: n }, n);
    const found = numbers.map((n) => table.epochOf(table.find(0, low(n), n)));
    expect(found).toEqual(numbers);
    expect(table.find(0, low(1), 2)).toBe(NONE);
    expect(table.find(1, low(1), 1)).toBe(NONE);
    expect(emptied(table)).toEqual(numbers);
  });

  it("uses the memory of removed entries again", () => {
    const table = new EntryTable();
    let greatest = 0;
    for (let n = 0; n < 100_000; n += 1) {
      greatest = Math.max(greatest, table.add(0, Math.imul(n, 0x9e3779b1), n));
      if (table.size > 100) table.remove(table.oldest);
    }
    expect(greatest).toBeLessThanOrEqual(101);
  });
});
