import { describe, expect, test } from "@jest/globals";
import {
  faultOfRedisUrl,
  parseRedisUrl,
  redisUrlHasPassword,
  redisUrlWithPassword,
} from "../../../../src/runtime/config/redis-url.js";

describe("the URL of Redis", () => {
  test("names one server, the Sentinels of a master, or servers of a Cluster", () => {
    expect(parseRedisUrl("redis://redis")).toEqual({
      kind: "server",
      hosts: [{ host: "redis", port: 6379 }],
      masterName: "",
      user: undefined,
      password: undefined,
      tls: false,
    });
    expect(parseRedisUrl("rediss+sentinel://me:p%40ss@s1,[::1]:26380/my-master")).toEqual({
      kind: "sentinel",
      hosts: [
        { host: "s1", port: 26_379 },
        { host: "::1", port: 26_380 },
      ],
      masterName: "my-master",
      user: "me",
      password: "p@ss",
      tls: true,
    });
    expect(parseRedisUrl("redis+cluster://:p@h1:7000,h2")).toMatchObject({
      kind: "cluster",
      hosts: [
        { host: "h1", port: 7000 },
        { host: "h2", port: 6379 },
      ],
      user: undefined,
      password: "p",
    });
  });

  test.each([
    "redis+sentinel://s1,s2",
    "redis+sentinel://s1,s2/",
    "redis+sentinel://s1,s2/a/b",
    "redis+sentinel://s1,,s2/mymaster",
    "redis+sentinel://s1,s2/mymaster?db=1",
    "redis+cluster://h1,h2/1",
    "redis+cluster://h1:70000",
    "redis+cluster://h1,u:p@h2",
    "redis+other://h1",
    `redis+cluster://${Array.from({ length: 33 }, (_, index) => `h${index}`).join(",")}`,
  ])("is refused as %s", (text) => {
    expect(faultOfRedisUrl(text)).toBeDefined();
  });

  test.each([
    "redis://h",
    "redis+sentinel://s1,s2/m",
    "redis+cluster://h1,h2",
    "redis+cluster://h1/0",
  ])("is allowed as %s, and takes a password", (text) => {
    expect(faultOfRedisUrl(text)).toBeUndefined();
    expect(redisUrlHasPassword(text)).toBe(false);
    const filled = redisUrlWithPassword(text.replace("://", "://me@"), "p@s:s/1");
    expect(faultOfRedisUrl(filled)).toBeUndefined();
    expect(parseRedisUrl(filled)).toEqual({
      ...parseRedisUrl(text),
      user: "me",
      password: "p@s:s/1",
    });
  });
});
