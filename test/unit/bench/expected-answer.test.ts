import { describe, expect, test } from "@jest/globals";

import { faultOfAnswer } from "../../../bench/load/expected-answer.js";

const OWNER = { tenant: "bench", user: "user-1", session: "session-1" };
const IDENTITY = {
  "x-auth-tenant-id": "bench",
  "x-auth-user-id": "user-1",
  "x-auth-session-id": "session-1",
};

const echo = (headers: Record<string, string>) => ({
  status: 200,
  body: `${JSON.stringify({ method: "GET", path: "/", headers: { host: "api", ...headers } })}\n`,
});

describe("an answer of the API", () => {
  test("is right with the owner's identity behind the filter, and with none without it", () => {
    expect(faultOfAnswer(echo(IDENTITY), OWNER)).toBeUndefined();
    expect(faultOfAnswer(echo({}), undefined)).toBeUndefined();
  });

  test.each(Object.keys(IDENTITY))(
    "is wrong where %s names somebody else or is missing",
    (name) => {
      expect(faultOfAnswer(echo({ ...IDENTITY, [name]: "other" }), OWNER)).toContain(
        `${name}: other`,
      );
      const rest = Object.entries(IDENTITY).filter(([other]) => other !== name);
      expect(faultOfAnswer(echo(Object.fromEntries(rest)), OWNER)).toContain(`${name}: (none)`);
      expect(faultOfAnswer(echo({ [name]: "other" }), undefined)).toContain(`${name}: other`);
    },
  );

  test("is wrong with another status, and where it is not the API's", () => {
    const { body } = echo(IDENTITY);
    expect(faultOfAnswer({ status: 503, body }, OWNER)).toContain("answered 503");
    expect(faultOfAnswer({ status: 200, body: "{}" }, OWNER)).toContain("not the API's");
    expect(faultOfAnswer({ status: 200, body: "" }, OWNER)).toContain("not the API's");
  });
});
