/** How queries, bodies and paths are read before a route looks at them. */
import { describe, expect, test } from "@jest/globals";

import { parseJsonBody } from "../../../../src/sessions/http/json-body.js";
import { KnownPaths } from "../../../../src/sessions/http/known-paths.js";
import { BodyError } from "../../../../src/sessions/http/problem.js";
import { parseQuery } from "../../../../src/sessions/http/query-text.js";
import {
  limitField,
  reasonField,
  timeField,
  waitMsField,
} from "../../../../src/sessions/http/request-fields.js";

describe("a query", () => {
  test.each([
    ["", {}],
    ["&&", {}],
    ["a=1&b=2", { a: "1", b: "2" }],
    ["a", { a: "" }],
    ["a=b=c", { a: "b=c" }],
    ["a=x+y%20z%2B", { a: "x y z+" }],
    ["%61=1", { a: "1" }],
    ["a=%25%32%35", { a: "%25" }],
    ["a=%ff", { a: null }],
    ["a=%", { a: null }],
    ["%ff=1", { "%ff": "1" }],
    ["a=1&a=2", { a: ["1", "2"] }],
    ["a=%&a=2", { a: [null, "2"] }],
  ])("%j is %j", (query, expected) => {
    expect(parseQuery(query)).toEqual(expected);
  });

  test("changes no prototype", () => {
    const parsed = parseQuery("__proto__=x&constructor=y");
    expect(Object.hasOwn(parsed, "__proto__")).toBe(true);
    expect(Object.getPrototypeOf(parsed)).toBe(Object.prototype);
  });
});

describe("a body", () => {
  const parse = (text: string) => parseJsonBody(Buffer.from(text));

  test("that is an object is what it says, and nothing where it is empty", () => {
    expect(parse(' {"a": [1, {"b": "\\u0041"}]} ')).toEqual({ a: [1, { b: "A" }] });
    expect(parse("")).toBeUndefined();
  });

  test.each([
    " ",
    "{",
    "[]",
    "null",
    '"x"',
    "7",
    '{"a":1,"a":2}',
    '{"a":{"b":1,"\\u0062":2}}',
    "\ufeff{}",
  ])("%j is refused", (text) => {
    expect(() => parse(text)).toThrow(BodyError);
  });

  test("is refused where it is not UTF-8, and never mended", () => {
    expect(() => parseJsonBody(Buffer.from([0x7b, 0x22, 0xe9, 0x22, 0x3a, 0x31, 0x7d]))).toThrow(
      BodyError,
    );
  });

  test("is refused without a word of what was in it", () => {
    expect(() => parse('{"password": hunter2}')).toThrow("is not JSON in UTF-8");
  });
});

describe("the methods of a path", () => {
  const paths = new KnownPaths();
  paths.add("GET", "/v1/me/sessions");
  paths.add("DELETE", "/v1/me/sessions/:session");
  paths.add("POST", "/v1/me/sessions/revoke-others");
  paths.add("GET", "/docs/static/*");

  test.each([
    ["/v1/me/sessions", ["GET"]],
    ["/v1/me/sessions/abc", ["DELETE"]],
    ["/v1/me/sessions/revoke-others", ["DELETE", "POST"]],
    ["/v1/me/sessions/", []],
    ["/v1/me/sessions/a/b", []],
    ["/docs/static/a/b", ["GET"]],
    ["/", []],
    ["", []],
  ])("%s are %j", (path, methods) => {
    expect(paths.methodsOf(path)).toEqual(methods);
  });
});

describe("the fields of requests", () => {
  test.each([
    [waitMsField, "0", 0],
    [waitMsField, "10000", 10_000],
    [waitMsField, "10001", undefined],
    [waitMsField, "-1", undefined],
    [waitMsField, undefined, 1000],
    [limitField, "1", 1],
    [limitField, "0", undefined],
    [limitField, "200", 200],
    [limitField, "201", undefined],
    [limitField, undefined, 50],
    [timeField, "1970-01-01T00:00:00Z", 0],
    [timeField, "1970-01-01T01:00:00.001+01:00", 1],
    [timeField, "1969-12-31T23:59:59.999Z", undefined],
    [timeField, "9999-12-31T23:59:59.999Z", 253_402_300_799_999],
    [timeField, "9999-12-31T23:59:59.999-00:01", undefined],
    [timeField, "2026-02-29T00:00:00Z", undefined],
    [reasonField, "", undefined],
    [reasonField, "x", "x"],
    [reasonField, "\u{1f600}".repeat(256), "\u{1f600}".repeat(256)],
    [reasonField, "\u{1f600}".repeat(257), undefined],
    [reasonField, "a\nb", undefined],
    [reasonField, "\ud800", undefined],
  ])("%#: %j is read as %j", (field, text, expected) => {
    expect(field.safeParse(text).data).toEqual(expected);
  });
});
