import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/runtime/clock.js";
import { IssuerKeys, type IssuerKeysOptions } from "../../src/tokens/issuer-keys.js";
import { DEFAULT_CLAIM_NAMES, type Issuer, type KeyLocation } from "../../src/tokens/issuer.js";
import { fetchKeySet } from "../../src/tokens/key-fetch-http.js";
import { KeyLoadError } from "../../src/tokens/key-load-error.js";
import { readKeySetFile } from "../../src/tokens/key-read-file.js";
import { KEY_SET_MAX_BYTES } from "../../src/tokens/key-set-text.js";
import { TokenVerifier } from "../../src/tokens/verification.js";
import { JwksServer } from "../support/jwks-server.js";
import { TokenIssuer } from "../support/token-issuer.js";

const one = new TokenIssuer({ kid: "one" });
const two = new TokenIssuer({ kid: "two" });
const never = new AbortController().signal;

let server: JwksServer;
let folder: string;
let opened: IssuerKeys[];
beforeEach(async () => {
  server = await JwksServer.start(one.jwks());
  folder = await mkdtemp(join(tmpdir(), "sekisho-jwks-"));
  opened = [];
});
afterEach(async () => {
  for (const keys of opened) keys.close();
  await server.close();
  await rm(folder, { recursive: true });
});

/** The error of a load that must fail, in short. */
async function failureOf(load: Promise<unknown>) {
  const error: unknown = await load.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof KeyLoadError)) throw new Error("no KeyLoadError", { cause: error });
  expect(error.message).not.toContain("\n");
  return { code: error.code, message: error.message };
}

/** A JSON text of exactly this many bytes. */
function jsonOfSize(bytes: number): string {
  return JSON.stringify(one.jwks()).padEnd(bytes);
}

describe("a key set by URL", () => {
  test("is fetched", async () => {
    expect(await fetchKeySet(server.url, never)).toEqual(one.jwks());
    expect(server.requests[0]?.accept).toContain("application/jwk-set+json");
    expect(server.requests[0]?.authorization).toBeUndefined();
  });

  test("may begin with a byte order mark and have any content type", async () => {
    const headers = { "content-type": "text/html" };
    server.serveText(`\ufeff${JSON.stringify(one.jwks())}`, { headers });
    expect(await fetchKeySet(server.url, never)).toEqual(one.jwks());
  });

  test.each([
    [201, "answered with status 201"],
    [204, "answered with status 204"],
    [301, "redirects (status 301), which is not followed"],
    [302, "redirects (status 302), which is not followed"],
    [307, "redirects (status 307), which is not followed"],
    [401, "answered with status 401"],
    [404, "answered with status 404"],
    [500, "answered with status 500"],
  ])("is refused with status %i", async (status, message) => {
    const body = status === 204 ? "" : JSON.stringify(one.jwks());
    server.serveText(body, { status, headers: { location: `${server.url}/other` } });
    const failure = await failureOf(fetchKeySet(server.url, never));
    expect(failure.code).toBe("status_unexpected");
    expect(failure.message).toContain(`${server.url} ${message}`);
    expect(server.requests).toHaveLength(1);
  });

  test.each<[string, string | Uint8Array]>([
    ["HTML", "<!doctype html><title>Sign in</title>"],
    ["nothing", ""],
    ["half a set", JSON.stringify(one.jwks()).slice(0, 50)],
    ["bytes that are not UTF-8", Buffer.from([0x22, 0xff, 0x22])],
  ])("is refused where it is %s", async (_, body) => {
    server.serveText(body);
    const message = `${server.url} is not JSON: is it a JWK Set?`;
    expect(await failureOf(fetchKeySet(server.url, never))).toEqual({ code: "not_json", message });
  });

  test.each([
    [KEY_SET_MAX_BYTES, "read"],
    [KEY_SET_MAX_BYTES + 1, "too_large"],
  ])("of %i bytes is %s", async (bytes, expected) => {
    server.serveText(jsonOfSize(bytes));
    const load = fetchKeySet(server.url, never);
    if (expected === "read") expect(await load).toEqual(one.jwks());
    else expect((await failureOf(load)).code).toBe(expected);
  });

  test("that never ends is cut off", async () => {
    server.behave({ kind: "endless" });
    expect((await failureOf(fetchKeySet(server.url, never))).code).toBe("too_large");
    await until(() => server.unfinished === 0);
  });

  test.each(["hang", "hang_in_body"] as const)("that hangs (%s) is given up", async (kind) => {
    server.behave({ kind, body: '{"keys":' });
    const failure = await failureOf(fetchKeySet(server.url, never, 50));
    expect(failure.code).toBe("timed_out");
    expect(failure.message).toContain("did not answer within 50 ms");
    await until(() => server.unfinished === 0);
  });

  test.each(["hang", "hang_in_body"] as const)("that hangs (%s) can be aborted", async (kind) => {
    server.behave({ kind, body: '{"keys":' });
    const abort = new AbortController();
    const arrived = server.nextRequest();
    const load = failureOf(fetchKeySet(server.url, abort.signal, 60_000));
    await arrived;
    abort.abort();
    expect((await load).code).toBe("aborted");
    await until(() => server.unfinished === 0);
  });

  test("is not asked for where the signal was aborted before", async () => {
    const failure = await failureOf(fetchKeySet(server.url, AbortSignal.abort()));
    expect(failure.code).toBe("aborted");
    expect(server.requests).toHaveLength(0);
  });

  test("that nobody serves is unreachable", async () => {
    const url = `http://127.0.0.1:${await closedPort()}/jwks`;
    expect(await failureOf(fetchKeySet(url, never))).toEqual({
      code: "unreachable",
      message: `${url} could not be reached (ECONNREFUSED): check the URL and the network`,
    });
  });

  test.each(["file:///etc/passwd", "data:application/json,{}", "ftp://a/b", "keys.json", ""])(
    "is refused where the URL is %j",
    async (url) => {
      expect((await failureOf(fetchKeySet(url, never))).code).toBe("url_invalid");
    },
  );

  describe("with credentials", () => {
    const withCredentials = (credentials: string) =>
      `${server.url.replace("//", `//${credentials}@`)}?token=secret3`;

    test("sends them as Basic authentication", async () => {
      await fetchKeySet(withCredentials("user:p%40ss"), never);
      const basic = Buffer.from("user:p@ss").toString("base64");
      expect(server.requests[0]?.authorization).toBe(`Basic ${basic}`);
    });

    test.each([404, 302, 200])("shows none of them in a message (status %i)", async (status) => {
      server.serveText("no JSON", { status });
      const url = withCredentials("secret1:secret2");
      const { message } = await failureOf(fetchKeySet(url, never));
      expect(message).not.toContain("secret");
      expect(message).toContain("http://***@127.0.0.1");
    });

    test("shows none of them where they cannot be read", async () => {
      const url = withCredentials("secret1:%ff");
      const failure = await failureOf(fetchKeySet(url, never));
      expect(failure.code).toBe("url_invalid");
      expect(failure.message).not.toContain("secret");
    });
  });
});

describe("a key set by file", () => {
  test("is read, also through a symbolic link", async () => {
    const path = join(folder, "jwks.json");
    await writeFile(path, JSON.stringify(one.jwks()));
    await symlink(path, join(folder, "link.json"));
    expect(await readKeySetFile(path)).toEqual(one.jwks());
    expect(await readKeySetFile(join(folder, "link.json"))).toEqual(one.jwks());
  });

  test("that is not there is named, with the reason", async () => {
    const path = join(folder, "missing.json");
    expect(await failureOf(readKeySetFile(path))).toEqual({
      code: "file_unreadable",
      message: `${path} could not be read (ENOENT): check the path and its permissions`,
    });
  });

  test("is refused where it is a folder or a pipe without a writer", async () => {
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    for (const path of [folder, pipe]) {
      const failure = await failureOf(readKeySetFile(path));
      expect(failure).toMatchObject({ code: "file_unreadable" });
      expect(failure.message).toContain(`${path} is not a file`);
    }
  });

  test("is refused where it is no JSON", async () => {
    const path = join(folder, "jwks.json");
    await writeFile(path, "keys:\n- a");
    expect((await failureOf(readKeySetFile(path))).code).toBe("not_json");
  });

  test.each([
    [KEY_SET_MAX_BYTES, "read"],
    [KEY_SET_MAX_BYTES + 1, "too_large"],
  ])("of %i bytes is %s", async (bytes, expected) => {
    const path = join(folder, "jwks.json");
    await writeFile(path, jsonOfSize(bytes));
    if (expected === "read") expect(await readKeySetFile(path)).toEqual(one.jwks());
    else expect((await failureOf(readKeySetFile(path))).code).toBe(expected);
  });

  test("of a huge size is not read to its end", async () => {
    const path = join(folder, "jwks.json");
    await writeFile(path, "{");
    await truncate(path, 2 ** 40);
    expect((await failureOf(readKeySetFile(path))).code).toBe("too_large");
  });
});

describe("an issuer's keys", () => {
  function open(keyLocation: KeyLocation, options: Partial<IssuerKeysOptions> = {}) {
    const issuer: Issuer = {
      issuer: one.issuer,
      audience: one.audience,
      keyLocation,
      algorithms: ["ES256"],
      typ: "at+jwt",
      tenants: undefined,
      claims: DEFAULT_CLAIM_NAMES,
    };
    const keys = new IssuerKeys(issuer, { clock: systemClock, maxAgeMs: 60_000, ...options });
    opened.push(keys);
    const verifier = new TokenVerifier({
      issuers: [{ issuer, keys }],
      cacheMaxEntries: 10,
      pendingMax: 10,
    });
    return { keys, verifier };
  }

  test("verify tokens; an unknown kid brings the new key, beside the requests", async () => {
    const { keys, verifier } = open({ kind: "url", url: server.url });
    await keys.start();
    expect(await verifier.verify(one.mint())).toMatchObject({ verified: true });
    server.serve(one.jwks(two));
    const refused = { verified: false, reason: "token_key_unknown", signatureGood: false };
    for (let times = 0; times < 50; times += 1) {
      expect(verifier.verify(two.mint())).toEqual(refused);
    }
    await until(() => keys.current()?.generation === 2);
    expect(await verifier.verify(two.mint())).toMatchObject({ verified: true });
    expect(server.requests).toHaveLength(2);
  });

  test("say in one line why there are none, and are there once that is mended", async () => {
    const path = join(folder, "jwks.json");
    const due: (() => void)[] = [];
    const { keys, verifier } = open(
      { kind: "file", path },
      {
        schedule: (run) => {
          due.push(run);
          return () => undefined;
        },
      },
    );
    await keys.start();
    expect(keys.status().lastProblem).toContain("ENOENT");
    expect(verifier.verify(one.mint())).toMatchObject({ reason: "keys_unavailable" });
    await writeFile(path, JSON.stringify({ keys: [one.jwk({ use: "enc" })] }));
    due.shift()?.();
    await until(() => due.length === 1);
    expect(keys.status().lastProblem).toBe(
      'the key set has no usable key: key "one": its use is not "sig"',
    );
    await writeFile(path, JSON.stringify(one.jwks()));
    due.shift()?.();
    await until(() => due.length === 1);
    expect(keys.status()).toMatchObject({ keys: 1, lastProblem: undefined });
    expect(await verifier.verify(one.mint())).toMatchObject({ verified: true });
  });

  test("leave nothing open when closed during a fetch that hangs", async () => {
    server.behave({ kind: "hang" });
    const { keys } = open({ kind: "url", url: server.url });
    const arrived = server.nextRequest();
    const started = keys.start();
    await arrived;
    keys.close();
    await started;
    await until(() => server.unfinished === 0);
    expect(keys.status()).toEqual({ loadedAgeMs: undefined, keys: 0, lastProblem: undefined });
  });

  test("keep the set in use until a slow answer has arrived", async () => {
    const { keys } = open({ kind: "url", url: server.url });
    await keys.start();
    const release = server.hold();
    server.serve(two.jwks());
    const arrived = server.nextRequest();
    keys.noteUnknownKid();
    await arrived;
    expect(keys.current()?.find("one")).toBeDefined();
    release();
    await until(() => keys.current()?.generation === 2);
    expect(keys.current()?.find("one")).toBeUndefined();
  });
});

/** Gives way to sockets and files until the condition holds. */
async function until(condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 30_000;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error("the condition never held");
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function closedPort(): Promise<number> {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const address = listener.address();
  listener.close();
  await once(listener, "close");
  if (address === null || typeof address === "string") throw new Error("no TCP address");
  return address.port;
}
