import { describe, expect, test } from "@jest/globals";
import { parseCompactJws, TOKEN_MAX_BYTES } from "../../../src/tokens/compact-jws.js";
import { base64url } from "../../support/token-issuer.js";

const SIGNATURE = base64url("signature");
const HEADER = '{"alg":"ES256","kid":"key-1","typ":"at+jwt"}';
const PAYLOAD = '{"iss":"https://issuer.example"}';

function jws(header: string | Uint8Array, payload: string | Uint8Array = PAYLOAD): string {
  return `${base64url(header)}.${base64url(payload)}.${SIGNATURE}`;
}

/** A well-formed token of exactly this many bytes. */
function jwsOfSize(bytes: number): string {
  const [header = ""] = jws(HEADER).split(".");
  for (let filler = 0; filler < bytes; filler += 1) {
    const payload = base64url(`{"a":"${"x".repeat(filler)}"}`);
    const missing = bytes - header.length - payload.length - 2;
    if (missing === 4 || missing === 8) return `${header}.${payload}.${"A".repeat(missing)}`;
  }
  throw new Error("no such size");
}

test("reads a token", () => {
  expect(parseCompactJws(jws(HEADER))).toEqual({
    algorithm: "ES256",
    kid: "key-1",
    typ: "at+jwt",
    claims: { iss: "https://issuer.example" },
    signed: true,
  });
});

describe("size", () => {
  test.each([
    [TOKEN_MAX_BYTES - 1, true],
    [TOKEN_MAX_BYTES, true],
    [TOKEN_MAX_BYTES + 1, false],
  ])("accepts %i bytes: %s", (bytes, accepted) => {
    const token = jwsOfSize(bytes);
    expect(Buffer.byteLength(token)).toBe(bytes);
    expect(parseCompactJws(token) !== undefined).toBe(accepted);
  });
});

describe("parts", () => {
  const [header = "", payload = "", signature = ""] = jws(HEADER).split(".");

  test.each([
    ["nothing", ""],
    ["one part", header],
    ["two parts", `${header}.${payload}`],
    ["a fourth part", `${header}.${payload}.${signature}.${signature}`],
    ["an empty fourth part", `${header}.${payload}.${signature}.`],
    ["the five parts of a JWE", `${header}.${payload}.${payload}.${payload}.${signature}`],
    ["an empty header", `.${payload}.${signature}`],
    ["an empty payload", `${header}..${signature}`],
    ["only dots", ".".repeat(8000)],
    ["a leading space", ` ${header}.${payload}.${signature}`],
    ["a trailing newline", `${header}.${payload}.${signature}\n`],
  ])("refuses %s", (_, token) => {
    expect(parseCompactJws(token)).toBeUndefined();
  });

  test.each([
    ["padding", "QQ=="],
    ["white space", "QU JD"],
    ["standard base64", "+/+/"],
    ["unused bits that are not zero", "QR"],
    ["characters outside ASCII", "QUJ\u0141"],
  ])("refuses a signature with %s", (_, part) => {
    expect(parseCompactJws(`${header}.${payload}.${part}`)).toBeUndefined();
  });

  test.each([
    ["padding", (part: string) => `${part}=`],
    ["white space", (part: string) => `${part.slice(0, 4)}\n${part.slice(4)}`],
    ["unused bits that are not zero", (part: string) => withUnusedBits(part)],
  ])("refuses a header or payload with %s", (_, alter) => {
    // A last group of two characters, so that there are unused bits and room for padding.
    const object = base64url('{"alg":"ES256" }'.padEnd(19));
    expect(object.length % 4).toBe(2);
    expect(Buffer.from(alter(object), "base64url")).toEqual(Buffer.from(object, "base64url"));
    expect(parseCompactJws(`${object}.${object}.${signature}`)).toBeDefined();
    expect(parseCompactJws(`${alter(object)}.${object}.${signature}`)).toBeUndefined();
    expect(parseCompactJws(`${object}.${alter(object)}.${signature}`)).toBeUndefined();
  });

  test("accepts an empty signature and says that nothing is signed", () => {
    expect(parseCompactJws(`${header}.${payload}.`)).toMatchObject({ signed: false });
  });
});

describe("JSON", () => {
  const deep = `{"a":${"[".repeat(2000)}${"]".repeat(2000)}}`;
  test.each<[string, string | Uint8Array]>([
    ["an array", "[]"],
    ["null", "null"],
    ["a string", '"a"'],
    ["no JSON", "hello"],
    ["nothing", " "],
    ["a second value", "{}{}"],
    ["a byte order mark", "\ufeff{}"],
    ["bytes that are not UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
    ["an encoded surrogate", Buffer.from([0x7b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x3a, 0x31, 0x7d])],
    ["an overlong encoding", Buffer.from([0x7b, 0x22, 0xc0, 0xa2, 0x22, 0x3a, 0x31, 0x7d])],
    ["UTF-16", Buffer.from("{}", "utf16le")],
    ["duplicate members", '{"alg":"ES256","a":1,"a":2}'],
    ["escaped duplicate members", '{"alg":"ES256","a":1,"\\u0061":2}'],
    ["nested duplicate members", '{"alg":"ES256","a":[{"b":1,"b":2}]}'],
    ["huge nesting", deep],
  ])("refuses %s as header or payload", (_, text) => {
    expect(parseCompactJws(jws(text))).toBeUndefined();
    expect(parseCompactJws(jws(HEADER, text))).toBeUndefined();
  });

  test("keeps what the payload says, also members called __proto__", () => {
    const parsed = parseCompactJws(jws(HEADER, '{"__proto__":{"iss":"x"},"a":"\\ud800"}'));
    expect(Object.keys(parsed?.claims ?? {})).toEqual(["__proto__", "a"]);
    expect(parsed?.claims.iss).toBeUndefined();
  });
});

describe("header", () => {
  test.each([
    ["crit", ["exp"]],
    ["crit", []],
    ["jku", "https://evil.example/jwks"],
    ["jwk", { kty: "EC" }],
    ["x5u", "https://evil.example/cert"],
    ["x5c", []],
    ["zip", "DEF"],
    ["b64", true],
    ["b64", false],
    ["jku", null],
  ])("refuses %s: %j", (name, value) => {
    const header = { alg: "ES256", kid: "key-1", [name]: value };
    expect(parseCompactJws(jws(JSON.stringify(header)))).toBeUndefined();
  });

  test.each([
    ["no alg", {}],
    ["an alg that is a number", { alg: 256 }],
    ["an alg that is a list", { alg: ["ES256"] }],
    ["an alg that is null", { alg: null }],
    ["a kid that is a number", { alg: "ES256", kid: 1 }],
    ["a kid that is null", { alg: "ES256", kid: null }],
    ["a typ that is a list", { alg: "ES256", typ: ["at+jwt"] }],
  ])("refuses %s", (_, header) => {
    expect(parseCompactJws(jws(JSON.stringify(header)))).toBeUndefined();
  });

  test("does not find an alg or kid that only its prototype has", () => {
    expect(parseCompactJws(jws('{"__proto__":{"alg":"ES256"}}'))).toBeUndefined();
    const parsed = parseCompactJws(jws('{"__proto__":{"kid":"key-1"},"alg":"ES256"}'));
    expect(parsed).toMatchObject({ algorithm: "ES256", kid: undefined });
  });

  test.each([
    ["no kid", { alg: "ES256" }],
    ["an empty kid", { alg: "ES256", kid: "" }],
  ])("accepts %s as good form, without a kid", (_, header) => {
    expect(parseCompactJws(jws(JSON.stringify(header)))).toMatchObject({ kid: undefined });
  });

  test("leaves it to the issuer which algorithm is allowed", () => {
    expect(parseCompactJws(jws('{"alg":"none"}'))).toMatchObject({ algorithm: "none" });
  });

  test("ignores parameters that it does not know", () => {
    expect(parseCompactJws(jws('{"alg":"ES256","x5t":"a","cty":"b","x":{}}'))).toBeDefined();
  });
});

/** The same bytes to Node's decoder, with the lowest unused bit set. */
function withUnusedBits(part: string): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  return part.slice(0, -1) + (alphabet[alphabet.indexOf(part.slice(-1)) + 1] ?? "");
}
