import { describe, expect, it } from "@jest/globals";
import {
  objectionToReopening,
  objectionToRetiring,
  type NamedLog,
} from "../../../src/revocation-log/log-retirement.js";

const OF_DATABASE = { authority: "database", generation: "g-1" } as const;
const ALONE = { authority: "redis", generation: "g-1" } as const;
const named = (generation: string | undefined): NamedLog => ({ kind: "named", generation });
const UNKNOWN: NamedLog = { kind: "unknown", why: "nothing to ask" };

describe("a log may be retired", () => {
  it.each([
    ["if the database names another one", OF_DATABASE, named("g-2"), undefined],
    ["if the database has never had one", OF_DATABASE, named(undefined), undefined],
    ["not if it is the one that the database names", OF_DATABASE, named("g-1"), "follow it"],
    ["not if the database cannot be asked", OF_DATABASE, UNKNOWN, "nothing to ask"],
    ["not if no database stands behind it", ALONE, named("g-2"), "authority is `redis`"],
  ])("%s", (_name, meta, log, why) => {
    const objection = objectionToRetiring(meta, log);
    expect(objection).toEqual(why === undefined ? undefined : expect.stringContaining(why));
  });
});

describe("a retired log may be opened again", () => {
  it.each([
    ["if it is the one that the database names", OF_DATABASE, named("g-1"), undefined],
    ["not if the database names another one", OF_DATABASE, named("g-2"), "names another log"],
    ["not if the database has never had one", OF_DATABASE, named(undefined), "names another log"],
    ["not if the database cannot be asked", OF_DATABASE, UNKNOWN, "nothing to ask"],
    ["not if no database stands behind it", ALONE, named("g-1"), "authority is `redis`"],
  ])("%s", (_name, meta, log, why) => {
    const objection = objectionToReopening(meta, log);
    expect(objection).toEqual(why === undefined ? undefined : expect.stringContaining(why));
  });
});
