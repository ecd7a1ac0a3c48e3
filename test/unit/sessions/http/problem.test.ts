import { describe, expect, test } from "@jest/globals";
import { z } from "zod";

import {
  DatabaseError,
  type DatabaseErrorCode,
} from "../../../../src/sessions/database/database.js";
import {
  BodyError,
  fieldProblems,
  IN_OUR_WORDS,
  problemBody,
  problemOf,
} from "../../../../src/sessions/http/problem.js";
import { PROBLEM_CODES, PROBLEMS } from "../../../../src/sessions/http/problem-codes.js";
import { problemHeaders } from "../../../../src/sessions/http/problem-headers.js";
import { SigningKeyError } from "../../../../src/sessions/keys/signing-key-error.js";
import { PasswordHasherError } from "../../../../src/sessions/passwords/password-hasher.js";

const database = (code: DatabaseErrorCode) => new DatabaseError(code, "password=hunter2");

describe("what was thrown", () => {
  test.each([
    [database("unavailable"), "database_unavailable", 1],
    [database("failed_over"), "database_unavailable", 1],
    [database("unique"), "internal_error", undefined],
    [database("not_allowed"), "internal_error", undefined],
    [database("unexpected"), "internal_error", undefined],
    [new PasswordHasherError("queue_full", "secret"), "overloaded", 1],
    [new PasswordHasherError("closed", "secret"), "overloaded", 1],
    [new PasswordHasherError("hashing_failed", "secret"), "overloaded", 1],
    [new PasswordHasherError("hash_unreadable", "secret"), "internal_error", undefined],
    [new SigningKeyError("no_key", "secret"), "keys_unavailable", 1],
    [new SigningKeyError("overloaded", "secret"), "overloaded", 1],
    [new Error("secret"), "internal_error", undefined],
    ["secret", "internal_error", undefined],
    [undefined, "internal_error", undefined],
    [Object.assign(new Error("secret"), { statusCode: 404 }), "internal_error", undefined],
  ])("%s becomes %s and tells nothing else", (error, code, retryAfterS) => {
    const problem = problemOf(error);
    expect(problem).toEqual({ code, ...(retryAfterS === undefined ? {} : { retryAfterS }) });
    expect(JSON.stringify(problemBody(problem))).not.toMatch(/secret|hunter2/);
  });

  test.each([
    ["FST_ERR_CTP_BODY_TOO_LARGE", 413, "body_too_large", "body"],
    ["FST_ERR_CTP_INVALID_MEDIA_TYPE", 415, "media_type_unsupported", "content-type"],
    ["FST_ERR_CTP_INVALID_CONTENT_LENGTH", 400, "request_invalid", "body"],
    ["FST_ERR_BAD_URL", 400, "request_invalid", "path"],
    ["FST_ERR_MAX_PARAM_LENGTH", 414, "request_invalid", "path"],
  ])("%s of Fastify's becomes a problem of the user's", (code, statusCode, expected, field) => {
    const error = Object.assign(new Error("x"), { code, statusCode });
    expect(problemOf(error)).toMatchObject({ code: expected, errors: [{ field }] });
  });

  test("about a body is told in its words", () => {
    const errors = [{ field: "body", problem: "must be a JSON object" }];
    expect(problemOf(new BodyError("must be a JSON object"))).toEqual({
      code: "request_invalid",
      errors,
    });
  });
});

describe("a problem", () => {
  test.each(PROBLEM_CODES)("%s is told by type, title, status and code", (code) => {
    const { status, title } = PROBLEMS[code];
    expect(problemBody({ code })).toEqual({
      type: `urn:sekisho:problem:${code}`,
      title,
      status,
      code,
    });
    expect(status).toBeGreaterThanOrEqual(400);
  });

  test("challenges for a token wherever it is a 401, and says why only about a token", () => {
    const challenged = PROBLEM_CODES.map((code) => [code, problemHeaders({ code })] as const);
    for (const [code, headers] of challenged) {
      const needed = PROBLEMS[code].status === 401 || code === "scope_insufficient";
      expect({ code, needed: "www-authenticate" in headers }).toEqual({ code, needed });
    }
    const withError = challenged.filter(([, headers]) =>
      headers["www-authenticate"]?.includes("error="),
    );
    expect(withError.map(([code]) => code)).toEqual(["invalid_token", "scope_insufficient"]);
  });

  test("says when to come again and what is allowed", () => {
    expect(problemHeaders({ code: "rate_limited", retryAfterS: 7 })["retry-after"]).toBe("7");
    const { allow } = problemHeaders({ code: "method_not_allowed", allow: ["GET", "HEAD"] });
    expect(allow).toBe("GET, HEAD");
  });
});

describe("what is wrong with fields", () => {
  const schema = z.strictObject({
    name: z.string().min(2, { error: "is too short" }),
    inner: z.strictObject({ count: z.number() }).optional(),
  });
  const told = (value: unknown) => fieldProblems(schema.safeParse(value, IN_OUR_WORDS).error);

  test("is told field by field", () => {
    expect(told({ name: "x", inner: { count: "1", more: 1 }, "odd key": 1 })).toEqual([
      { field: "name", problem: "is too short" },
      { field: "inner.count", problem: "must be of type number" },
      { field: "inner.more", problem: "is not a known field" },
      { field: "odd key", problem: "is not a known field" },
    ]);
    expect(told({})).toEqual([{ field: "name", problem: "is missing" }]);
    expect(told({ name: "xx" })).toEqual([]);
  });

  test("repeats a long or broken name only as far as it can be read", () => {
    expect(told({ name: "xx", ["k".repeat(5000)]: 1 })).toEqual([
      { field: "k".repeat(100), problem: "is not a known field" },
    ]);
    expect(told({ name: "xx", "\ud800": 1 })[0]?.field).toBe("\ufffd");
  });
});
