/** What a client can send to be taken for somebody else, or to make the check stumble. */
import { connect, constants } from "node:http2";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { waitFor } from "../../dev/wait-for.js";
import { describeReply, sendBytes, type Ask } from "../support/e2e-http.js";
import { E2eDeployment, claimsOf, type Pod } from "../support/e2e-deployment.js";

const ann = { tenant: "acme", user: "ann", session: "ann-laptop" };
const IDENTITY = ["x-auth-tenant-id", "x-auth-user-id", "x-auth-session-id"];

let deployment: E2eDeployment;
let pod: Pod;
let token: string;

beforeAll(async () => {
  deployment = await E2eDeployment.open();
  pod = await deployment.addPod("node-1");
  token = deployment.token(ann);
});
afterAll(() => deployment.close());

/** What is answered, and that it did not reach the API where it was refused. */
async function answerTo(path: string, ask: Ask): Promise<string> {
  const before = pod.api.requests;
  const reply = await pod.client.get(path, ask);
  expect(pod.api.requests - before).toBe(reply.status === 200 ? 1 : 0);
  return describeReply(reply);
}

describe("credentials that are not exactly one bearer token", () => {
  const bearer = (text = token): [string, string] => ["authorization", `Bearer ${text}`];
  const cases: readonly { what: string; headers: () => (readonly [string, string])[] }[] = [
    { what: "the same token twice", headers: () => [bearer(), bearer()] },
    { what: "a good one before a bad one", headers: () => [bearer(), bearer("bad")] },
    { what: "a bad one before a good one", headers: () => [bearer("bad"), bearer()] },
    {
      what: "another scheme before it",
      headers: () => [["authorization", "Basic YTpi"], bearer()],
    },
    { what: "a pair joined by a comma", headers: () => [bearer(`${token}, Bearer ${token}`)] },
    { what: "a pair without a space", headers: () => [bearer(`${token},${token}`)] },
    { what: "one in quotation marks", headers: () => [bearer(`"${token}"`)] },
    { what: "one with a space in it", headers: () => [bearer(token.replace(".", ". "))] },
    { what: "one with a tab before it", headers: () => [["authorization", `Bearer\t${token}`]] },
    { what: "no scheme", headers: () => [["authorization", token]] },
    { what: "one of 60 KiB, nearly", headers: () => [bearer("a".repeat(59 * 1024))] },
  ];
  it.each(cases)("are refused: $what", async ({ headers }) => {
    for (const path of ["/things", "/catalogue"]) {
      expect(await answerTo(path, { headers: headers() })).toBe("401 invalid_token");
    }
  });

  it("are one where an empty header stands beside it, which Envoy drops for everyone", async () => {
    const empty: [string, string] = ["authorization", ""];
    for (const headers of [
      [empty, bearer()],
      [bearer(), empty],
    ]) {
      const { echo } = await pod.client.get("/things", { headers });
      expect(echo?.headers["x-auth-session-id"]).toBe(ann.session);
    }
    for (const headers of [[empty], [empty, empty]]) {
      expect(await answerTo("/things", { headers })).toMatch(/^401 /);
    }
  });

  it("are not looked at on a public route, whatever they are", async () => {
    const headers = [bearer("bad"), bearer("worse")] as const;
    expect(await answerTo("/public", { headers })).toBe("200");
  });

  it("are refused by Envoy itself where they are larger than all headers may be", async () => {
    const headers = [bearer("a".repeat(61 * 1024))];
    expect(await answerTo("/things", { headers })).toBe("431");
  });

  it("are refused one byte beyond 8 KiB, and pass up to that", async () => {
    const padded = (size: number): string => {
      // The padding is base64url in the token, so it is found by trying.
      for (let length = 5000; length < 7000; length += 1) {
        const long = deployment.token(ann, { padding: "x".repeat(length) });
        if (long.length >= size) return long;
      }
      throw new Error(`no token of ${size} bytes`);
    };
    const [largest, tooLarge] = [padded(8191), padded(8193)];
    expect([largest.length <= 8192, tooLarge.length <= 8195]).toEqual([true, true]);
    expect(await answerTo("/things", { token: largest })).toBe("200");
    expect(await answerTo("/things", { token: tooLarge })).toBe("401 invalid_token");
  });
});

describe("identity headers that a client sends", () => {
  const spoofed: readonly { what: string; headers: readonly [string, string][] }[] = [
    { what: "as they are", headers: IDENTITY.map((name) => [name, "root"]) },
    { what: "in odd case", headers: IDENTITY.map((name) => [name.toUpperCase(), "root"]) },
    {
      what: "several times",
      headers: [...IDENTITY, "X-Auth-User-Id", ...IDENTITY].map((name) => [name, "root"]),
    },
    { what: "empty", headers: IDENTITY.map((name) => [name, ""]) },
  ];
  it.each(spoofed)("do not reach the API: $what", async ({ headers }) => {
    const known = [ann.tenant, ann.user, ann.session];
    const nobody = [undefined, undefined, undefined];
    const asks = [
      { path: "/things", ask: { token, headers }, told: known },
      { path: "/timetable", ask: { token, headers }, told: known },
      { path: "/catalogue", ask: { token, headers }, told: known },
      { path: "/catalogue", ask: { headers }, told: nobody },
      { path: "/public/news", ask: { token, headers }, told: nobody },
      { path: "/public/news", ask: { headers }, told: nobody },
    ];
    for (const { path, ask, told } of asks) {
      const { echo } = await pod.client.get(path, ask);
      expect(IDENTITY.map((name) => echo?.headers[name])).toEqual(told);
      expect(JSON.stringify(echo)).not.toContain("root");
    }
    expect(await answerTo("/things", { headers })).toBe("401 token_missing");
  });

  it("are refused with underscores, which many servers read as hyphens", async () => {
    for (const name of ["x_auth_user_id", "x-auth_user-id", "X_AUTH_TENANT_ID"]) {
      for (const path of ["/public", "/catalogue", "/things"]) {
        expect(await answerTo(path, { token, headers: [[name, "root"]] })).toBe("400");
      }
    }
  });

  it("are refused with any other character that an API may read as a hyphen", async () => {
    for (const name of [
      "x.auth.user.id",
      "X-Auth.User-Id",
      "x-auth-session.id",
      "x~auth-tenant+id",
    ]) {
      for (const path of ["/public", "/catalogue", "/things"]) {
        expect(await answerTo(path, { token, headers: [[name, "root"]] })).toBe("400");
      }
    }
  });

  const malformed = [
    "x-auth-user-id : root",
    " x-auth-user-id: root",
    "x-auth-user-id\t: root",
    "x-auth-user-id\0: root",
    "x-other: a\r\n x-auth-user-id: root",
    "x-other: a\nx-auth-user-id: root",
    "x-other: a\rx-auth-user-id: root",
    "connection: x-auth-user-id",
  ];
  it.each(malformed)("do not get past Envoy malformed: %j", async (line) => {
    const head = `GET /public HTTP/1.1\r\nhost: api\r\n${line}\r\n`;
    const answer = await sendBytes(pod.envoy.url, `${head}connection: close\r\n\r\n`);
    if (/^HTTP\/1\.1 200 /.test(answer)) {
      // Taken as an ordinary line or as more of the one before: then it names nobody.
      expect(answer).not.toMatch(/"x-auth-user-id"/);
    } else {
      expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    }
  });
});

describe("headers in which a client speaks for Envoy, or of another path", () => {
  const trusted = [
    ...["x-original-url", "x-rewrite-url", "x-envoy-original-path", "x-envoy-original-method"],
    ...["x-envoy-original-dst-host", "x-envoy-attempt-count", "x-envoy-is-timeout-retry"],
    ...["x-envoy-auth-partial-body", "x-envoy-external-address", "x-envoy-internal"],
    ...["x-envoy-upstream-rq-timeout-ms", "x-envoy-max-retries", "x-envoy-retry-on"],
    ...["x-envoy-peer-metadata", "x-envoy-ip-tags", "x-envoy-of-a-later-version"],
  ];

  it.each(["/things", "/catalogue", "/public/news"])("do not reach the API on %s", async (path) => {
    const headers = trusted.map((name): [string, string] => [name, "1"]);
    const { echo } = await pod.client.get(path, { token, headers: [...headers, ["x-other", "1"]] });
    const arrived = Object.keys(echo?.headers ?? {});
    expect(arrived).toContain("x-other");
    expect(trusted.filter((name) => arrived.includes(name))).toEqual([]);
  });
});

describe("a client that speaks HTTP/2", () => {
  it("is checked alike, and its identity headers are removed alike", async () => {
    const session = connect(pod.envoy.url);
    await deployment.keep(Promise.resolve(session), (made) => made.destroy());
    const askOnce = async (path: string, headers: Record<string, string | string[]>) => {
      const stream = session.request({ [constants.HTTP2_HEADER_PATH]: path, ...headers });
      let body = "";
      let status = 0;
      stream.setEncoding("utf8");
      stream.on("response", (got) => (status = Number(got[constants.HTTP2_HEADER_STATUS])));
      stream.on("data", (part: string) => (body += part));
      stream.end();
      await new Promise((resolve, reject) => stream.once("end", resolve).once("error", reject));
      return { status, body };
    };
    // Nothing here is answered with 503, unless the machine stands still for a moment.
    const ask = async (...asked: Parameters<typeof askOnce>) =>
      waitFor(
        async () => {
          const answer = await askOnce(...asked);
          return answer.status === 503 ? undefined : answer;
        },
        { what: `an answer to ${asked[0]}`, timeoutMs: 20_000 },
      );
    const bearer = `Bearer ${token}`;
    const spoofed = { "x-auth-user-id": ["root", "root"], "x-auth-tenant-id": "root" };
    const known = await ask("/things", { authorization: bearer, ...spoofed });
    expect([known.status, known.body]).toEqual([
      200,
      expect.stringContaining('"x-auth-user-id":"ann"'),
    ]);
    const open = await ask("/public", spoofed);
    expect([open.status, open.body]).toEqual([200, expect.not.stringContaining("root")]);
    expect((await ask("/things", {})).status).toBe(401);
    expect((await ask("/public/../things", {})).status).toBe(401);
    expect((await ask("/public/%2e%2e/things", {})).status).toBe(401);
    for (const path of ["/public/\xc0\xae\xc0\xae/things", "/public/..\xe0\x80\xafthings"]) {
      expect((await ask(path, {})).status).toBe(400);
    }
  });
});

describe("claims that no id may be", () => {
  it.each([
    ["a lone high surrogate", "\ud800"],
    ["a lone low surrogate", "a\udc00b"],
    ["surrogates in the wrong order", "\udc00\ud800"],
    ["a line break", "a\nb"],
    ["a NUL", "a\0b"],
    ["257 characters", "x".repeat(257)],
    ["nothing", ""],
  ])("are refused, and the node lives on: %s", async (_what, id) => {
    for (const person of [
      { ...ann, tenant: id },
      { ...ann, user: id },
      { ...ann, session: id },
    ]) {
      const broken = deployment.issuer.mint(claimsOf(person));
      expect(await answerTo("/things", { token: broken })).toBe("401 token_claims_invalid");
    }
    expect(await answerTo("/things", { token })).toBe("200");
  });

  it.each([
    ["an array", ["ann"]],
    ["an object", { toString: "ann" }],
    ["a number", 7],
    ["null", null],
  ])("are refused, and the node lives on: %s", async (_what, value) => {
    for (const name of ["tenant_id", "user_id", "session_id", "user_epoch", "iat", "exp", "aud"]) {
      if (typeof value === "number" && /epoch|iat|exp/.test(name)) continue;
      if (Array.isArray(value) && name === "aud") continue;
      const broken = deployment.token(ann, { [name]: value });
      expect(await answerTo("/things", { token: broken })).toBe("401 token_claims_invalid");
    }
    expect(await answerTo("/things", { token })).toBe("200");
  });
});
