import { describe, expect, it } from "@jest/globals";
import { documentedSteps, isAsDocumented } from "../../support/documented-steps.js";

const json = (text: string) => ({ language: "json", text }) as const;
const text = (shown: string) => ({ language: "text", text: shown }) as const;

describe("a document's steps", () => {
  it("are its commands with the answers that follow them", () => {
    const lines = ["# Title", "```sh", "one", "two", "```", "", "```json", "{}", "```"];
    const more = ["<!-- test: it rains -->", "  ```sh", "  three", "  ```", "```yaml", "a", "```"];
    expect(documentedSteps([...lines, ...more].join("\n"))).toEqual([
      { line: 3, commands: "one\ntwo", answer: json("{}"), before: [] },
      { line: 12, commands: "  three", answer: undefined, before: ["it rains"] },
    ]);
  });

  it.each([
    ["an answer to nothing", "```json\n{}\n```", "without a command"],
    ["two answers", "```sh\na\n```\n```json\n1\n```\n```json\n2\n```", "without a command"],
    ["a block that does not end", "```sh\na", "not closed"],
  ])("are not read from %s", (_, document, told) => {
    expect(() => documentedSteps(document)).toThrow(told);
  });
});

describe("what is printed", () => {
  it.each([
    [json('{"a": 1, "b": …}'), '{"b":"anything","a":1}', true],
    [json('{"a": 1}'), '{"a":1,"b":2}', false],
    [json('{"a": 1, "b": 2}'), '{"a":1}', false],
    [json('{"a": …}'), '{"b":1}', false],
    [json('{"a": "x-…"}'), '{"a":"x-1"}', true],
    [json('{"a": "x-…"}'), '{"a":"x-"}', false],
    [json('{"a": "x-…"}'), '{"a":"y-1"}', false],
    [json('{"a": ["…"]}'), '{"a":["one"]}', true],
    [json('{"a": ["…"]}'), '{"a":[]}', false],
    [json('{"a": []}'), '{"a":["one"]}', false],
    [json('{"a": null}'), '{"a":{}}', false],
    [json("{}"), "no JSON", false],
    [text("Applied in … ms."), "Applied in 3 ms.\n", true],
    [text("Applied in … ms."), "Applied in ms.\n", false],
    [text("a.c"), "abc", false],
    [undefined, "", true],
    [undefined, "something", false],
  ])("is compared with %j: %s: %j", (answer, printed, fits) => {
    expect(isAsDocumented(answer, printed)).toBe(fits);
  });
});
