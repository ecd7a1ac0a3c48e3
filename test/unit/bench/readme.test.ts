import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { describe, expect, test } from "@jest/globals";

import {
  BlockFault,
  VARIABLE_GROUPS,
  documentBlocks,
  fillBlocks,
  problemsTable,
  reasonsTable,
  variablesTable,
} from "../../../bench/report/readme-blocks.js";
import { readRecorded } from "../../../bench/report/recorded.js";
import { repositoryRoot } from "../../../dev/repository.js";
import { VARIABLES } from "../../../src/cli/variables.js";

const DOCUMENT = `# Title

<!-- one:begin -->
old
<!-- one:end -->

Between.

<!-- two:begin --><!-- two:end -->
`;

describe("the blocks of a document", () => {
  test("are filled in and the rest is left alone", () => {
    const { document, outOfDate } = fillBlocks(DOCUMENT, { one: "first $& $1\n", two: "second" });
    expect(outOfDate).toEqual(["one", "two"]);
    expect(document).toBe(`# Title

<!-- one:begin -->

first $& $1

<!-- one:end -->

Between.

<!-- two:begin -->

second

<!-- two:end -->
`);
  });

  test("are up to date once they were filled in, and only what differs is named", () => {
    const { document } = fillBlocks(DOCUMENT, { one: "1", two: "2" });
    expect(fillBlocks(document, { one: "1", two: "2" })).toEqual({ document, outOfDate: [] });
    expect(fillBlocks(document, { one: "1", two: "3" }).outOfDate).toEqual(["two"]);
  });

  test.each([
    ["no markers", "three", DOCUMENT, "three:begin --> is missing"],
    ["no end", "one", DOCUMENT.replace("<!-- one:end -->", ""), "one:end --> is missing"],
    ["two beginnings", "one", `${DOCUMENT}<!-- one:begin -->`, "more than once"],
    ["the end first", "x", "<!-- x:end --><!-- x:begin -->", "stands before its beginning"],
  ])("are refused where there are %s", (_, name, document, told) => {
    const fill = () => fillBlocks(document, { [name]: "text" });
    expect(fill).toThrow(BlockFault);
    expect(fill).toThrow(told);
  });
});

describe("the tables", () => {
  test("have each variable with its default", () => {
    const lines = VARIABLE_GROUPS.flatMap((group) => variablesTable(group).split("\n"));
    const starting = (name: string) => lines.filter((line) => line.startsWith(`| \`${name}\` |`));
    expect(starting("SEKISHO_LISTEN")[0]).toContain(
      "| `127.0.0.1:9191` | HOST:PORT or unix:/PATH |",
    );
    expect(starting("SEKISHO_REDIS_URL")[0]).toContain("| – |");
    expect(starting("SEKISHO_NODE_ID")[0]).toContain("| the host's name |");
    expect(new Set(lines.map((line) => line.split("|").length))).toEqual(new Set([6]));
    const named = lines.flatMap((line) => /^\| `([A-Z_]+)` \|/.exec(line)?.[1] ?? []);
    expect(named.sort()).toEqual(Object.keys(VARIABLES).sort());
  });

  test("tell apart what the sidecar, the session service and both of them read", () => {
    expect(variablesTable("common")).toContain("`SEKISHO_REDIS_URL`");
    expect(variablesTable("sidecar")).toContain("`SEKISHO_JWKS_URL`");
    expect(variablesTable("sessions")).toContain("`SEKISHO_DATABASE_URL`");
    expect(variablesTable("commands")).toContain("`SEKISHO_SESSIONS_TOKEN`");
    expect(variablesTable("scripts")).toContain("`SEKISHO_POSTGRES`");
  });

  test("have each problem with its status", () => {
    const line = "| `not_found` | 404 | Not found |";
    expect(problemsTable().split("\n")).toContain(line);
  });

  test("have each reason with its status", () => {
    const lines = reasonsTable().split("\n");
    expect(lines).toContain("| `session_revoked` | 401 | This session was ended |");
    expect(lines).toContain("| `allowed` | – | The token is valid and not revoked |");
  });
});

describe("the documents", () => {
  test.each(["README.md", "docs/configuration.md", "docs/deployment.md", "docs/sessions.md"])(
    "%s says what the recorded runs, the variables, the reasons and the problems say",
    async (path) => {
      const root = repositoryRoot();
      const blocks = documentBlocks(await readRecorded());
      const text = await readFile(join(root, path), "utf8");
      expect(fillBlocks(text, blocks[path] ?? {}).outOfDate).toEqual([]);
      // A marker that nobody fills would stand there for ever.
      const marked = [...text.matchAll(/<!-- ([a-z-]+):begin -->/g)].map(([, name]) => name);
      expect(marked.sort()).toEqual(Object.keys(blocks[path] ?? {}).sort());
    },
  );
});
