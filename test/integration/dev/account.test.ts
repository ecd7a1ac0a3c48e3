import { expect, test } from "@jest/globals";

import { Account, alignColumns, milliseconds } from "../../../dev/demo/account.js";

function printed(
  print: (account: Account) => void,
  on: { isTTY: boolean; environment: NodeJS.ProcessEnv },
): string {
  let text = "";
  const output = { isTTY: on.isTTY, write: (part: string) => (text += part) };
  print(new Account(output, on.environment));
  return text;
}
const pass = (account: Account) => account.seen("passes");

test("columns stand below each other, names to the left and numbers to the right", () => {
  expect(
    alignColumns([
      ["", "sent", "acknowledged"],
      ["node-1", milliseconds(12.34), milliseconds(3)],
      ["node-10", milliseconds(1), milliseconds(123.45)],
    ]),
  ).toEqual([
    "             sent   acknowledged",
    "node-1    12.3 ms         3.0 ms",
    "node-10    1.0 ms       123.5 ms",
  ]);
});

test("columns of words stand to the left", () => {
  const rows = [
    ["what", "by"],
    ["login", "ann"],
    ["-", "cli"],
  ];
  expect(alignColumns(rows, "left")).toEqual(["what    by", "login   ann", "-       cli"]);
});

test("colours are for a terminal, and for one that wants them", () => {
  const plain = "  ✓ passes\n";
  expect(printed(pass, { isTTY: false, environment: {} })).toBe(plain);
  expect(printed(pass, { isTTY: true, environment: { NO_COLOR: "1" } })).toBe(plain);
  expect(printed(pass, { isTTY: true, environment: {} })).toContain("\u001b[");
});

test("a failure of several lines stays indented", () => {
  const fail = (account: Account) => account.failed("one\ntwo");
  expect(printed(fail, { isTTY: false, environment: {} })).toBe("  ✗ one\n    two\n");
});
