import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { z } from "zod";
import { repositoryRoot } from "../../../dev/repository.js";
import { REVOCATION_KINDS } from "../../../src/revocation-log/entry.js";
import { decodeNodeRow, encodeNodeRow } from "../../../src/revocation-log/node-row-redis.js";
import { readByNode } from "../../../src/revocation-log/nodes-report.js";

const ROW = {
  seenMs: 10_000,
  generation: 'a "generation"',
  seq: 5,
  maxStalenessMs: 1000,
  onStale: "deny",
} as const;

/** As the first version writes it. */
const FIRST = {
  seen: 10_000,
  generation: 'a "generation"',
  seq: 5,
  max_staleness_ms: 1000,
  on_stale: "deny",
};

const decode = (members: object) => decodeNodeRow(JSON.stringify({ ...FIRST, ...members }));

describe("a node's row", () => {
  it("says which version wrote it, and what that reads", () => {
    const { version } = z
      .object({ version: z.string() })
      .parse(JSON.parse(readFileSync(join(repositoryRoot(), "package.json"), "utf8")));
    const read = { formats: [1, 2], kinds: REVOCATION_KINDS, version };
    expect(decodeNodeRow(encodeNodeRow(ROW))).toEqual({ ...ROW, ...read });
    expect(REVOCATION_KINDS).toContain("all_revoked");
  });

  it("has the members of the first version, which reads rows, too, and is of a few hundred bytes", () => {
    expect(JSON.parse(encodeNodeRow(ROW))).toMatchObject(FIRST);
    expect(encodeNodeRow(ROW).length).toBeLessThan(400);
  });

  it("of the first version says nothing, and reads two kinds in format 1", () => {
    const row = decode({});
    expect(row).toEqual({ ...ROW, formats: undefined, kinds: undefined, version: undefined });
    const first = { formats: [1], kinds: ["session_revoked", "user_revoked"] };
    expect(readByNode({ formats: row?.formats, kinds: row?.kinds })).toEqual(first);
  });

  it("may name kinds and formats of a later version, and have other members", () => {
    const read = { formats: [2, 3], kinds: ["device_revoked"], version: "2.0.0-rc.1+build" };
    expect(decode({ ...read, more: [] })).toMatchObject(read);
  });

  it.each([
    { version: "1\u001b[2J" },
    { version: "" },
    { version: "9".repeat(65) },
    { kinds: ["\u001b"] },
    { kinds: ["k".repeat(65)] },
    { kinds: Array.from({ length: 65 }, () => "a_kind") },
    { formats: Array.from({ length: 65 }, () => 1) },
  ])("with what no version writes is not read: %j", (members) => {
    expect(decode(members)).toBeUndefined();
  });
});
