import { describe, expect, test } from "@jest/globals";
import { z } from "zod";

import {
  CURSOR_MAX_CHARACTERS,
  KEY_PARTS,
  pageOf,
  startOf,
  TIME_MAX_MS,
} from "../../../../src/sessions/admin/page.js";

const list = { of: ["users", "acme"], key: z.tuple([KEY_PARTS.timeMs, KEY_PARTS.id]) };
const row = (n: number) => ({ n, id: `id ${n}` });
const keyOf = ({ n, id }: ReturnType<typeof row>): [number, string] => [n, id];
const cursorOf = (value: unknown): string =>
  Buffer.from(JSON.stringify(value)).toString("base64url");

describe("a page", () => {
  test("has a cursor only where there is a further row", () => {
    const full = pageOf(list, [row(1), row(2)], 2, keyOf);
    expect(full).toEqual({ kind: "page", items: [row(1), row(2)], nextCursor: undefined });
    const more = pageOf(list, [row(1), row(2), row(3)], 2, keyOf);
    expect(more.items).toEqual([row(1), row(2)]);
    expect(startOf(list, more.nextCursor)).toEqual([2, "id 2"]);
  });

  test("begins at the beginning without a cursor, and may be empty", () => {
    expect(startOf(list, undefined)).toBeUndefined();
    expect(pageOf(list, [], 2, keyOf)).toEqual({ kind: "page", items: [], nextCursor: undefined });
  });

  test("takes a cursor with ids in it that need four bytes for each character", () => {
    const of = ["users", "\u{1f600}".repeat(256)];
    const long = { n: 1, id: "\u{1f600}".repeat(256) };
    const { nextCursor } = pageOf({ ...list, of }, [long, long], 1, keyOf);
    expect(startOf({ ...list, of }, nextCursor)).toEqual([1, long.id]);
  });

  test.each([
    ["nothing", ""],
    ["no JSON", "x"],
    ["another shape", cursorOf({})],
    ["no key", cursorOf([["users", "acme"]])],
    [
      "another list",
      cursorOf([
        ["sessions", "acme"],
        [1, "a"],
      ]),
    ],
    [
      "another tenant",
      cursorOf([
        ["users", "other"],
        [1, "a"],
      ]),
    ],
    [
      "more of a name",
      cursorOf([
        ["users", "acme", "x"],
        [1, "a"],
      ]),
    ],
    [
      "a longer key",
      cursorOf([
        ["users", "acme"],
        [1, "a", 2],
      ]),
    ],
    [
      "a text for a time",
      cursorOf([
        ["users", "acme"],
        ["1", "a"],
      ]),
    ],
    [
      "half a millisecond",
      cursorOf([
        ["users", "acme"],
        [1.5, "a"],
      ]),
    ],
    [
      "a time that no database has",
      cursorOf([
        ["users", "acme"],
        [TIME_MAX_MS + 1, "a"],
      ]),
    ],
    [
      "a time before all times",
      cursorOf([
        ["users", "acme"],
        [-1, "a"],
      ]),
    ],
    [
      "an id that none can be",
      cursorOf([
        ["users", "acme"],
        [1, "\u0000"],
      ]),
    ],
    ["more than any cursor has", "x".repeat(CURSOR_MAX_CHARACTERS + 1)],
  ])("is not begun by a cursor of %s", (_what, cursor) => {
    expect(startOf(list, cursor)).toBe("invalid");
  });

  test("is begun by a key at either end of what a key may be", () => {
    for (const n of [0, TIME_MAX_MS]) {
      expect(
        startOf(
          list,
          cursorOf([
            ["users", "acme"],
            [n, "a"],
          ]),
        ),
      ).toEqual([n, "a"]);
    }
  });
});
