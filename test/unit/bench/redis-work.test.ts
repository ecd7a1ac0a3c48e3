import { describe, expect, test } from "@jest/globals";

import { redisWorkIn, workBetween } from "../../../bench/load/redis-work.js";

const CPU = [
  "# CPU",
  "used_cpu_sys:1.250000",
  "used_cpu_user:2.500000",
  "used_cpu_sys_children:9.000000",
  "used_cpu_user_main_thread:8.000000",
].join("\r\n");

describe("what Redis has worked", () => {
  test("is the processor time of the server, and of that its scripts", () => {
    const stats = "# Commandstats\r\ncmdstat_eval:calls=3,usec=4500,usec_per_call=1500.00\r\n";
    expect(redisWorkIn(CPU, stats)).toEqual({ allMs: 3750, scriptsMs: 4.5 });
  });

  test("has no scripts where none was run", () => {
    expect(redisWorkIn(CPU, "cmdstat_evalsha:calls=1,usec=7")).toMatchObject({ scriptsMs: 0 });
  });

  test("is not guessed where the server does not say", () => {
    expect(() => redisWorkIn("used_cpu_sys:1.0", "")).toThrow("used_cpu_user");
  });

  test("is the difference of two looks", () => {
    const [before, after] = [
      { allMs: 10, scriptsMs: 1 },
      { allMs: 25, scriptsMs: 5 },
    ];
    expect(workBetween(before, after)).toEqual({ allMs: 15, scriptsMs: 4 });
  });
});
