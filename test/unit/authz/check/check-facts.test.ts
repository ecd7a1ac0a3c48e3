import { describe, expect, test } from "@jest/globals";
import { readHttpCheck } from "../../../../src/authz/check/check-facts.js";
import { CheckRequest } from "../../../../src/generated/envoy/service/auth/v3/external_auth.js";
import { requestWith } from "./request-parts.js";

const NONE = { kind: "none" };
const UNUSABLE = { kind: "unusable" };
const bearer = (token: string) => ({ kind: "bearer", token });

const credentialsOf = (parts: Parameters<typeof requestWith>[0]) =>
  readHttpCheck(requestWith(parts))?.credentials;

describe("what stands in `authorization`", () => {
  const cases: readonly (readonly [string, object])[] = [
    ["Bearer abc.def.ghi", bearer("abc.def.ghi")],
    ["bearer abc", bearer("abc")],
    ["BEARER abc", bearer("abc")],
    ["bEaReR abc", bearer("abc")],
    ["Bearer   abc", bearer("abc")],
    ["Bearer a-._~+/b==", bearer("a-._~+/b==")],
    ["Bearer abc ", UNUSABLE],
    ["Bearer a=b", UNUSABLE],
    ["Bearer ==", UNUSABLE],
    ["", UNUSABLE],
    ["Bearer", UNUSABLE],
    ["Bearer ", UNUSABLE],
    ["Bearerabc", UNUSABLE],
    ["Bearer\tabc", UNUSABLE],
    [" Bearer abc", UNUSABLE],
    ["Bearer a b", UNUSABLE],
    ["Bearer abc,Bearer def", UNUSABLE],
    ["Bearer abc, Bearer def", UNUSABLE],
    ["Bearer abc,def", UNUSABLE],
    ["Basic YTpi,Bearer abc", UNUSABLE],
    ["Basic YTpi", UNUSABLE],
    ["DPoP abc", UNUSABLE],
    ["Negotiate abc", UNUSABLE],
    ['Bearer "abc"', UNUSABLE],
    ["Bearer abc\u0000", UNUSABLE],
    ["Bearer abc\n", UNUSABLE],
    ["Bearer \u00e9", UNUSABLE],
  ];

  test.each(cases)("as %j in `headers`", (value, expected) => {
    expect(credentialsOf({ headers: { authorization: value } })).toEqual(expected);
  });

  test.each(cases)("as %j in `header_map` as text", (value, expected) => {
    expect(credentialsOf({ headerMap: [{ key: "authorization", value }] })).toEqual(expected);
  });

  test.each(cases)("as %j in `header_map` as bytes", (raw, expected) => {
    expect(credentialsOf({ headerMap: [{ key: "authorization", raw }] })).toEqual(expected);
  });

  test("is found whatever the case of the header's name", () => {
    for (const key of ["Authorization", "AUTHORIZATION", "authorization"]) {
      expect(credentialsOf({ headers: { [key]: "Bearer abc" } })).toEqual(bearer("abc"));
      expect(credentialsOf({ headerMap: [{ key, raw: "Bearer abc" }] })).toEqual(bearer("abc"));
    }
  });

  test("is nothing where there is no such header", () => {
    expect(credentialsOf({})).toEqual(NONE);
    expect(credentialsOf({ headerMap: [] })).toEqual(NONE);
    const others = { "x-authorization": "Bearer a", "proxy-authorization": "Bearer a" };
    expect(credentialsOf({ headers: others })).toEqual(NONE);
  });

  test("is the bytes where both bytes and text are given, as in Envoy", () => {
    const both = { key: "authorization", value: "Bearer text", raw: "Bearer bytes" };
    expect(credentialsOf({ headerMap: [both] })).toEqual(bearer("bytes"));
  });

  test.each([
    ["0x80 to 0xff", Buffer.from([0x80, 0xc3, 0xa9, 0xff])],
    ["one continuation byte", Buffer.from([0xbf])],
    ["bytes that UTF-8 would fold into a letter", Buffer.from([0xc1, 0x81])],
  ])("is no token where bytes are not ASCII: %s", (_what, bytes) => {
    const raw = Buffer.concat([Buffer.from("Bearer abc"), bytes]);
    expect(credentialsOf({ headerMap: [{ key: "authorization", raw }] })).toEqual(UNUSABLE);
  });

  test.each([
    ["twice in `header_map`", {}, ["authorization", "authorization"]],
    ["twice in `header_map`, the cases differing", {}, ["authorization", "Authorization"]],
    [
      "twice in `headers`, the cases differing",
      { authorization: "Bearer abc", Authorization: "Bearer abc" },
      [],
    ],
    ["in both at once", { authorization: "Bearer abc" }, ["authorization"]],
  ])("is refused where it is given %s", (_how, headers: Record<string, string>, keys) => {
    const headerMap = keys.map((key) => ({ key, raw: "Bearer abc" }));
    expect(credentialsOf({ headers, headerMap })).toEqual(UNUSABLE);
  });

  test("is refused where one of two is empty or of another scheme", () => {
    for (const other of ["", "Basic YTpi"]) {
      const one = { key: "authorization", value: other };
      const two = { key: "authorization", value: "Bearer abc" };
      expect(credentialsOf({ headerMap: [one, two] })).toEqual(UNUSABLE);
      expect(credentialsOf({ headerMap: [two, one] })).toEqual(UNUSABLE);
    }
  });
});

describe("a check that is not about an HTTP request", () => {
  test.each([
    ["without attributes", { attributes: undefined }],
    ["without a request", { attributes: { request: undefined, contextExtensions: {} } }],
    [
      "without its HTTP part",
      { attributes: { request: { http: undefined }, contextExtensions: {} } },
    ],
  ])("%s is told by undefined", (_what, request) => {
    expect(readHttpCheck(request)).toBeUndefined();
    const decoded = CheckRequest.decode(CheckRequest.encode(request).finish());
    expect(readHttpCheck(decoded)).toBeUndefined();
  });
});

describe("how a request is found again", () => {
  const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
  const traceOf = (headers: Record<string, string>) =>
    readHttpCheck(requestWith({ headers }))?.traceId;

  test("is its request id, in both forms", () => {
    const headers = { "x-request-id": "r-1" };
    expect(readHttpCheck(requestWith({ headers }))?.requestId).toBe("r-1");
    const headerMap = [{ key: "X-Request-Id", raw: "r-2" }];
    expect(readHttpCheck(requestWith({ headerMap }))?.requestId).toBe("r-2");
    expect(readHttpCheck(requestWith({}))?.requestId).toBeUndefined();
  });

  test("is read byte by byte where it is not ASCII", () => {
    const headerMap = [{ key: "x-request-id", raw: Buffer.from([0x61, 0xe9, 0xff]) }];
    expect(readHttpCheck(requestWith({ headerMap }))?.requestId).toBe("a\u00e9\u00ff");
  });

  test("is the trace id of `traceparent`, which goes before b3", () => {
    const traceparent = `00-${TRACE}-00f067aa0ba902b7-01`;
    expect(traceOf({ traceparent })).toBe(TRACE);
    expect(traceOf({ traceparent, "x-b3-traceid": "b3" })).toBe(TRACE);
  });

  test("is b3's trace id where there is no good `traceparent`", () => {
    expect(traceOf({ "x-b3-traceid": "463ac35c9f6413ad" })).toBe("463ac35c9f6413ad");
    expect(traceOf({ traceparent: "nonsense", "x-b3-traceid": "463a" })).toBe("463a");
  });

  test.each([
    ["", undefined],
    ["nonsense", undefined],
    [`00-${TRACE.slice(1)}-00f067aa0ba902b7-01`, undefined],
    [`00-${TRACE.toUpperCase()}-00f067aa0ba902b7-01`, undefined],
  ])("is nothing where `traceparent` is %j", (traceparent, expected) => {
    expect(traceOf({ traceparent })).toBe(expected);
  });

  test("and its route's settings come along", () => {
    const route = { "sekisho.auth": "optional", other: "x" };
    expect(readHttpCheck(requestWith({ route }))?.contextExtensions).toEqual(route);
  });
});
