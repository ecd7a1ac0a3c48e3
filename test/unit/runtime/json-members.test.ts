import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import {
  hasUniqueMembers,
  JSON_DEPTH_MAX,
  ownMember,
  parseJsonObject,
} from "../../../src/runtime/json-members.js";

describe("unique members", () => {
  test.each([
    ["two of one name", '{"a":1,"a":1}'],
    ["two of one name with another between", '{"a":1,"b":2,"a":3}'],
    ["one escaped and one not", '{"a":1,"\\u0061":2}'],
    ["both escaped, in different ways", '{"\\u002f":1,"\\/":2}'],
    ["hexadecimal digits of another case", '{"\\u004A":1,"\\u004a":2}'],
    ["an escaped quotation mark", '{"\\"":1,"\\u0022":2}'],
    ["a trailing backslash", '{"\\\\":1,"\\u005c":2}'],
    ["empty names", '{"":1,"":2}'],
    ["__proto__", '{"__proto__":1,"__proto__":2}'],
    ["lone surrogates", '{"\\ud800":1,"\\uD800":2}'],
    ["inside an object", '{"a":{"b":1,"b":2}}'],
    ["inside an array", '{"a":[{"b":1,"b":2}]}'],
    ["after a nested object ended", '{"a":{"a":1},"b":[{"a":1}],"a":2}'],
    ["after an array of strings", '{"a":["x","a"],"a":2}'],
    ["white space around", '{ "a" : 1 ,\n\t"a" : 2 }'],
  ])("refuses duplicates: %s", (_, text) => {
    expect(() => {
      JSON.parse(text);
    }).not.toThrow();
    expect(hasUniqueMembers(text)).toBe(false);
  });

  test.each([
    ["the same name on different levels", '{"a":{"a":{"a":1}},"b":{"a":1}}'],
    ["the same name in neighbours", '{"x":[{"a":1},{"a":1}]}'],
    ["values that equal names", '{"a":"a","b":"a","c":["a","a","b"]}'],
    ["structure inside strings", '{"a":"{\\"a\\":1,\\"a\\":2}","b":"},{[","c":"\\\\"}'],
    ["names of another case", '{"a":1,"A":2}'],
    ["names that only look alike", '{"\\u00e9":1,"e\\u0301":2}'],
    ["__proto__ once", '{"__proto__":{"a":1},"a":1}'],
    ["an empty object", "{}"],
  ])("accepts %s", (_, text) => {
    expect(hasUniqueMembers(text)).toBe(true);
  });

  test("agrees with a count of members, whatever the names and however they are escaped", () => {
    fc.assert(
      fc.property(tree, (root) => {
        expect(hasUniqueMembers(root.text)).toBe(root.unique);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("depth", () => {
  const nested = (open: string, close: string, depth: number) =>
    open.repeat(depth) + "1" + close.repeat(depth);

  test.each([
    [JSON_DEPTH_MAX - 1, true],
    [JSON_DEPTH_MAX, true],
    [JSON_DEPTH_MAX + 1, false],
    [4000, false],
  ])("accepts %i levels: %s", (depth, accepted) => {
    expect(hasUniqueMembers(nested("[", "]", depth))).toBe(accepted);
    expect(hasUniqueMembers(nested('{"a":', "}", depth))).toBe(accepted);
  });

  test("counts what is open, not what there is", () => {
    const many = `{"a":[${Array(500).fill("[]").join(",")}]}`;
    expect(parseJsonObject(many)).toBeDefined();
  });
});

describe("a JSON object", () => {
  test.each(["", "null", "1", '"a"', "[]", "[{}]", "{", "{}{}", "{} x", "{'a':1}", "\ufeff{}"])(
    "is not %j",
    (text) => {
      expect(parseJsonObject(text)).toBeUndefined();
    },
  );

  test("is refused with duplicate members", () => {
    expect(parseJsonObject('{"a":1,"a":2}')).toBeUndefined();
    expect(parseJsonObject('{"a":1,"b":2}')).toEqual({ a: 1, b: 2 });
  });

  test("keeps __proto__ as a member of its own, which changes no prototype", () => {
    const object = parseJsonObject('{"__proto__":{"admin":true}}') ?? {};
    expect(Object.getPrototypeOf(object)).toBe(Object.getPrototypeOf(JSON.parse("{}")));
    expect(ownMember(object, "admin")).toBeUndefined();
    expect(ownMember(object, "__proto__")).toEqual({ admin: true });
  });

  test.each(["toString", "constructor", "__proto__", "hasOwnProperty"])(
    "has no member %s that it merely inherited",
    (name) => {
      expect(ownMember({}, name)).toBeUndefined();
    },
  );
});

/** A JSON text, and whether its objects have unique members, known from how it was built. */
interface Tree {
  readonly text: string;
  readonly unique: boolean;
}

const name = fc.constantFrom("a", "b", '"', "\\", "{", ",", "é", "__proto__");
const quotedName = fc.tuple(name, fc.boolean()).map(([text, escaped]) => {
  const units = Array.from(text, (unit) => unit.charCodeAt(0).toString(16).padStart(4, "0"));
  return { text, quoted: escaped ? `"\\u${units.join("\\u")}"` : JSON.stringify(text) };
});

const { tree } = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom("1", "true", "null", '"a"', '"{\\"a\\":1"').map((text) => leaf(text)),
    fc.array(tie("tree"), { maxLength: 3 }).map((elements) => ({
      text: `[ ${elements.map((element) => element.text).join(",")}]`,
      unique: elements.every((element) => element.unique),
    })),
    fc.array(fc.tuple(quotedName, tie("tree")), { maxLength: 4 }).map((members) => ({
      text: `{${members.map(([{ quoted }, value]) => `${quoted} :${value.text}`).join(" , ")}}`,
      unique:
        new Set(members.map(([{ text }]) => text)).size === members.length &&
        members.every(([, value]) => value.unique),
    })),
  ),
}));

function leaf(text: string): Tree {
  return { text, unique: true };
}
