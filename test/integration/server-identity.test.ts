/** A server that does not say which one it is, as a proxy or a look-alike of Redis may not. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import { RedisServer } from "../../dev/redis-server.js";
import { RedisLogAdmin } from "../../src/revocation-log/log-admin-redis.js";
import { RedisNodeRows } from "../../src/revocation-log/node-rows-redis.js";
import { KEYS, endOf, follow, initLog, publish, type Following } from "../support/following.js";
import { patientConnections } from "../support/patient-connections.js";
import { TcpProxy } from "../support/tcp-proxy.js";

let server: RedisServer;
let proxy: TcpProxy;
const nodes: Following[] = [];

beforeAll(async () => {
  server = await RedisServer.start();
  proxy = await TcpProxy.start(server.port);
  await initLog(server.url);
});
afterEach(async () => {
  proxy.rewrite = (data) => data;
  await Promise.all(nodes.splice(0).map(({ follower }) => follower.close()));
});
afterAll(async () => {
  await proxy.close();
  await server.close();
});

/** The server behind the proxy says nothing under this name in INFO any more. */
function hide(name: string): void {
  const other = `x${name.slice(1)}`;
  proxy.rewrite = (data) =>
    Buffer.from(data.toString("latin1").replaceAll(`\n${name}:`, `\n${other}:`), "latin1");
}

describe.each(["run_id", "master_replid"])("a server without %s", (name) => {
  it("is not followed, and the node says which server it is", async () => {
    hide(name);
    const node = follow(proxy.url);
    nodes.push(node);
    const message = await node.untilProblem("server_unidentified");
    expect(message).toContain(name);
    expect(message).toContain(new URL(proxy.url).host);
    expect(message).toMatch(/redis_version \d/);
    expect(node.follower.stalenessMs()).toBe(Infinity);
    proxy.rewrite = (data) => data;
    await node.untilFresh();
  });

  it("is neither published to, nor kept, nor asked for receipts, nor given a log", async () => {
    hide(name);
    const refused = await publish(proxy.url, endOf("s-1"));
    expect(refused).toMatchObject({ published: false, code: "unreachable" });
    expect(refused.published ? "" : refused.message).toContain(`does not say its ${name}`);
    const logAdmin = new RedisLogAdmin(patientConnections(proxy.url), KEYS);
    const rows = new RedisNodeRows(patientConnections(proxy.url), KEYS);
    await expect(logAdmin.facts()).rejects.toThrow(`does not say its ${name}`);
    await expect(rows.nodeRows()).rejects.toThrow(`does not say its ${name}`);
    await expect(initLog(proxy.url)).rejects.toThrow(`does not say its ${name}`);
    logAdmin.close();
    rows.close();
  });
});
