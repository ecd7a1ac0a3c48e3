import { describe, expect, test } from "@jest/globals";
import { DrizzleQueryError } from "drizzle-orm";

import { DatabaseError } from "../../../../src/sessions/database/database.js";
import {
  isServersAnswer,
  toConnectionError,
  toDatabaseError,
} from "../../../../src/sessions/database/error-sql.js";

const withCode = (code: string, message = "what happened", more: object = {}) =>
  Object.assign(new Error(message), { code, ...more });

const asQuery = (cause: Error) => new DrizzleQueryError("SELECT secret", ["s3cret"], cause);

describe("an error of the database", () => {
  test.each([
    ["23505", "unique"],
    ["23503", "missing_reference"],
    ["42501", "not_allowed"],
    ["55P03", "unavailable"],
    ["25P03", "unavailable"],
    ["25006", "unavailable"],
    ["40P01", "unavailable"],
    ["40001", "unavailable"],
    ["53300", "unavailable"],
    ["57014", "unavailable"],
    ["57P01", "unavailable"],
    ["08006", "unavailable"],
    ["28P01", "unavailable"],
    ["3D000", "unavailable"],
    ["23514", "unexpected"],
    ["42P01", "unexpected"],
    ["25P02", "unexpected"],
    ["XX000", "unexpected"],
    ["ECONNREFUSED", "unavailable"],
    ["EPIPE", "unavailable"],
    ["ENOENT", "unavailable"],
    ["ERR_SOCKET_CLOSED", "unavailable"],
  ])("with the code %s means %s, alone and around a query", (state, code) => {
    expect(toDatabaseError(withCode(state))).toMatchObject({ name: "DatabaseError", code });
    expect(toDatabaseError(asQuery(withCode(state)))).toMatchObject({ code });
  });

  test.each([
    "Connection terminated unexpectedly",
    "Connection terminated due to connection timeout",
    "timeout exceeded when trying to connect",
    "Query read timeout",
    "Client has encountered a connection error and is not queryable",
    "Cannot use a pool after calling end on the pool",
  ])("that says %j without a code means unavailable", (message) => {
    expect(toDatabaseError(new Error(message))).toMatchObject({ code: "unavailable" });
  });

  test("says what to look at where nobody is reached, and only there", () => {
    const advice = "(is it running, and is SEKISHO_DATABASE_URL right?)";
    expect(String(toDatabaseError(withCode("ENOTFOUND")))).toContain(advice);
    // It answers, or is only slow.
    expect(String(toDatabaseError(withCode("3D000")))).not.toContain(advice);
    expect(String(toDatabaseError(new Error("Query read timeout")))).not.toContain(advice);
  });

  test("names the rule that was broken", () => {
    const error = withCode("23505", "duplicate", { constraint: "users_pkey" });
    expect(toDatabaseError(asQuery(error))).toMatchObject({ constraint: "users_pkey" });
  });

  test("takes neither query nor parameters nor rows along", () => {
    const more = { detail: "Failing row contains (s3cret)", query: "secret", params: ["s3cret"] };
    const error = toDatabaseError(asQuery(withCode("23514", "breaks a rule", more)));
    const shown = JSON.stringify(error, Object.getOwnPropertyNames(Object(error)));
    expect(shown).toContain("breaks a rule");
    expect(shown).not.toMatch(/s3cret|secret/);
    expect(error).not.toHaveProperty("cause");
  });

  test("that names several addresses is that of the first", () => {
    const refused = withCode("ECONNREFUSED", "connect ECONNREFUSED 127.0.0.1:1");
    const error = toDatabaseError(new AggregateError([refused, refused]));
    expect(error).toMatchObject({ code: "unavailable" });
    expect(String(error)).toContain("127.0.0.1:1");
  });

  test("that drizzle reports without a known cause is unexpected", () => {
    expect(toDatabaseError(asQuery(new Error("odd")))).toMatchObject({ code: "unexpected" });
  });
});

test("what work throws by itself is passed on as it is", () => {
  for (const own of [new Error("changed its mind"), new TypeError("x"), "text", undefined]) {
    expect(toDatabaseError(own)).toBe(own);
  }
  const converted = new DatabaseError("in_use", "x");
  expect(toDatabaseError(converted)).toBe(converted);
});

test("whatever fails while a connection is made is unavailable, unless the server says more", () => {
  expect(toConnectionError(new Error("self-signed"))).toMatchObject({ code: "unavailable" });
  expect(toConnectionError("text")).toMatchObject({ code: "unavailable" });
  expect(toConnectionError(withCode("42501"))).toMatchObject({ code: "not_allowed" });
});

test("a connection is good after the server's answer, and not after its loss", () => {
  expect(
    ["23505", "40P01", "57014", "25P02"].map((code) => isServersAnswer(withCode(code))),
  ).toEqual([true, true, true, true]);
  const lost = ["08006", "57P01", "57P03", "ECONNRESET", "EPIPE"];
  expect(lost.map((code) => isServersAnswer(asQuery(withCode(code))))).toEqual(
    lost.map(() => false),
  );
  expect(isServersAnswer(new Error("Query read timeout"))).toBe(false);
});
