import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { lstatSync, mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "@jest/globals";
import type { Components } from "../../src/runtime/health.js";
import { listenForOps, type OpsPages, type OpsServer } from "../../src/runtime/ops-server.js";

const HEALTHY: Components = { redis: { status: "ok", detail: undefined } };
const FAILED: Components = { redis: { status: "failed", detail: "gone" } };

let server: OpsServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

async function serve(pages: Partial<OpsPages> = {}): Promise<string> {
  const address = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;
  server = await listenForOps(address, {
    components: () => HEALTHY,
    metrics: () => Promise.resolve({ contentType: "text/plain; version=0.0.4", text: "up 1\n" }),
    statusz: () => ({ node: "n", seq: 7 }),
    ...pages,
  });
  if (server.address.kind !== "tcp") throw new Error("not TCP");
  expect(server.address.port).toBeGreaterThan(0);
  return `http://127.0.0.1:${server.address.port}`;
}

describe("the side door", () => {
  test("says that the process is alive, whatever its components are", async () => {
    const url = await serve({ components: () => FAILED });
    const response = await fetch(`${url}/livez`);
    expect([response.status, await response.text()]).toEqual([200, "alive\n"]);
  });

  test.each([
    [200, "ready", HEALTHY],
    [200, "ready", { redis: { status: "degraded", detail: "slow" } } as const],
    [503, "not_ready", FAILED],
  ])("answers /readyz with %i %s", async (status, word, components) => {
    const response = await fetch(`${await serve({ components: () => components })}/readyz`);
    expect(response.status).toBe(status);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(response.headers.get("cache-control")).toBe("no-store");
    const expected: unknown = JSON.parse(JSON.stringify({ status: word, components }));
    expect(await response.json()).toEqual(expected);
  });

  test("gives metrics and status as they are made", async () => {
    const url = await serve();
    const metrics = await fetch(`${url}/metrics?x=1`);
    expect(await metrics.text()).toBe("up 1\n");
    expect(metrics.headers.get("content-type")).toBe("text/plain; version=0.0.4");
    expect(await (await fetch(`${url}/statusz`)).json()).toEqual({ node: "n", seq: 7 });
  });

  test("names the pages that there are where one is unknown", async () => {
    const response = await fetch(`${await serve()}/`);
    expect(response.status).toBe(404);
    expect(await response.text()).toContain("/livez, /readyz, /metrics, /statusz");
  });

  test("answers GET and HEAD only", async () => {
    const url = await serve();
    expect((await fetch(`${url}/livez`, { method: "POST", body: "x" })).status).toBe(405);
    const head = await fetch(`${url}/livez`, { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
  });

  test.each([
    ["/readyz", "components"],
    ["/metrics", "metrics"],
    ["/statusz", "statusz"],
  ])("answers %s with 500 where it cannot be made, without saying why", async (path, page) => {
    const broken = () => {
      throw new Error("hunter2");
    };
    const url = await serve({ [page]: broken });
    const response = await fetch(`${url}${path}`);
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain("hunter2");
    expect((await fetch(`${url}/livez`)).status).toBe(200);
  });

  test("replaces a Unix socket on which nobody listens any more", async () => {
    const folder = mkdtempSync(join(tmpdir(), "sekisho-ops-"));
    try {
      const path = join(folder, "ops.sock");
      const code = `require("net").createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))`;
      spawnSync(process.execPath, ["-e", code, path]);
      expect(lstatSync(path).isSocket()).toBe(true);
      const pages = { components: () => HEALTHY, metrics: () => Promise.reject(new Error("x")) };
      server = await listenForOps({ kind: "unix", path }, { ...pages, statusz: () => 1 });
      expect(server.address).toEqual({ kind: "unix", path });
      await server.close();
      server = undefined;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test("cannot be opened where another one stands", async () => {
    await serve();
    const taken = server?.address ?? { kind: "tcp", host: "127.0.0.1", port: 1 };
    const pages = { components: () => HEALTHY, metrics: () => Promise.reject(new Error("x")) };
    await expect(listenForOps(taken, { ...pages, statusz: () => 1 })).rejects.toMatchObject({
      code: "EADDRINUSE",
    });
  });
});

describe("a connection to the ops port", () => {
  const GET = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
  /** More than the port keeps. */
  const MANY = 100;

  async function connected(url: string): Promise<Socket> {
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    socket.on("error", () => undefined);
    await once(socket, "connect");
    return socket;
  }

  async function everythingFrom(socket: Socket): Promise<string> {
    let told = "";
    socket.setEncoding("latin1").on("data", (part: string) => (told += part));
    await new Promise((resolve) => socket.once("close", resolve));
    return told;
  }

  test("gets one answer, however many requests it sends, and is closed", async () => {
    const socket = await connected(await serve());
    socket.write(GET.repeat(500));
    const told = await everythingFrom(socket);
    expect(told.match(/HTTP\/1\.1/g)).toEqual(["HTTP/1.1"]);
    expect(told).toContain("\r\nconnection: close\r\n");
    expect(told).toMatch(/\r\n\r\nup 1\n$/);
  });

  test("shares one making of a page with all that ask at the same time", async () => {
    let made = 0;
    const url = await serve({
      metrics: async () => {
        made += 1;
        await new Promise((resolve) => setImmediate(resolve));
        return { contentType: "text/plain", text: "up 1\n" };
      },
    });
    const sockets = await Promise.all(Array.from({ length: 20 }, () => connected(url)));
    const answers = sockets.map(everythingFrom);
    for (const socket of sockets) socket.write(GET);
    for (const told of await Promise.all(answers)) expect(told).toContain("up 1");
    expect(made).toBeLessThan(5);
  });

  test("that reads nothing is cut", async () => {
    const body = "x".repeat(16 * 1024 * 1024);
    const url = await serve({
      metrics: () => Promise.resolve({ contentType: "text/plain", text: body }),
    });
    const socket = await connected(url);
    socket.pause();
    socket.write(GET);
    // Writing is how a connection that does not read learns that it was cut.
    const asking = setInterval(() => socket.write("x"), 100);
    await new Promise((resolve) => socket.once("close", resolve));
    clearInterval(asking);
    expect(socket.bytesRead).toBeLessThan(body.length);
  });

  test("is the one that is cut, the oldest first, where too many say nothing", async () => {
    const url = await serve();
    const idle: Socket[] = [];
    for (let count = 0; count < MANY; count += 1) idle.push(await connected(url));
    const response = await fetch(`${url}/livez`);
    expect(response.status).toBe(200);
    const [first] = idle;
    if (first?.closed === false) await once(first.resume(), "close");
    expect(first?.closed).toBe(true);
    expect(idle.at(-1)?.closed).toBe(false);
    for (const socket of idle) socket.destroy();
  });

  test.each([
    ["says nothing", "", 408],
    ["never ends its head", "GET / HTTP/1.1\r\n", 408],
    ["sends a head that is too long", `GET / HTTP/1.1\r\nA: ${"a".repeat(9000)}`, 431],
    ["sends no HTTP", "\u0016\u0003\u0001 hello\r\n\r\n", 400],
    ["speaks HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400],
  ])("that %s is told so and closed", async (_what, sent, status) => {
    const socket = await connected(await serve());
    socket.write(sent);
    expect(await everythingFrom(socket)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  });
});
