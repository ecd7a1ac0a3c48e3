import { afterEach, describe, expect, test } from "@jest/globals";

import { waitUntil } from "../../../dev/wait-for.js";
import { Startup } from "../../../src/runtime/startup.js";

const made: Startup[] = [];
afterEach(async () => {
  await Promise.all(made.splice(0).map((one) => one.close()));
});

/** Steps that do as they are told, and an account of what happened. */
function setUp(problems: Record<string, string[]> = {}) {
  const happened: string[] = [];
  const step = (name: string) => ({
    name,
    run: () => {
      happened.push(`try ${name}`);
      const problem = problems[name]?.shift();
      return problem === undefined ? Promise.resolve() : Promise.reject(new Error(problem));
    },
  });
  const startup = new Startup(
    [step("tables"), step("keys")],
    (name, problem) => happened.push(`${name}: ${problem}`),
    () => happened.push("done"),
  );
  made.push(startup);
  return { startup, happened };
}

const until = (look: () => boolean) => waitUntil(look, { what: "startup", timeoutMs: 30_000 });

describe("startup", () => {
  test("takes its steps one after the other and is done once", async () => {
    const { startup, happened } = setUp();
    expect(happened).toEqual([]);
    startup.start();
    await until(() => happened.includes("done"));
    expect(happened).toEqual(["try tables", "try keys", "done"]);
    expect(startup.problem).toBeUndefined();
    await startup.close();
  });

  test("goes on with the step that failed, and tells each problem once", async () => {
    const { startup, happened } = setUp({ keys: ["away", "away", "wrong secret"] });
    startup.start();
    await until(() => happened.includes("keys: away"));
    expect(startup.problem).toBe("away");
    await until(() => happened.includes("done"));
    expect(happened).toEqual([
      "try tables",
      "try keys",
      "keys: away",
      "try keys",
      "try keys",
      "keys: wrong secret",
      "try keys",
      "done",
    ]);
    expect(startup.problem).toBeUndefined();
    await startup.close();
  });

  test("that is closed between two attempts makes no other", async () => {
    const { startup, happened } = setUp({ tables: ["away"] });
    startup.start();
    await until(() => happened.includes("tables: away"));
    await startup.close();
    // Longer than the pause between two attempts, by something that takes as long.
    const other = setUp({ tables: ["away"] });
    other.startup.start();
    await until(() => other.happened.includes("done"));
    await other.startup.close();
    expect(happened).toEqual(["try tables", "tables: away"]);
  });

  test("that is closed during a step waits for it, takes no other and is not done", async () => {
    const happened: string[] = [];
    let finish = (): void => undefined;
    const startup = new Startup(
      [
        { name: "tables", run: () => new Promise<void>((resolve) => (finish = resolve)) },
        { name: "keys", run: () => Promise.resolve(void happened.push("keys")) },
      ],
      () => happened.push("problem"),
      () => happened.push("done"),
    );
    startup.start();
    const closed = startup.close().then(() => happened.push("closed"));
    await Promise.resolve();
    expect(happened).toEqual([]);
    finish();
    await closed;
    expect(happened).toEqual(["closed"]);
  });

  test("that is closed during a step that fails then says nothing of it", async () => {
    const happened: string[] = [];
    let fail = (): void => undefined;
    const hanging = () =>
      new Promise<void>((_, reject) => (fail = () => reject(new Error("timeout expired"))));
    const startup = new Startup(
      [{ name: "tables", run: hanging }],
      () => happened.push("problem"),
      () => happened.push("done"),
    );
    startup.start();
    const closed = startup.close();
    fail();
    await closed;
    expect(happened).toEqual([]);
  });
});
