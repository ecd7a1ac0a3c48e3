/**
 * Clients that abort while their check is under way. Envoy passes each abort on to the node as a reset
 * of a stream, and nghttp2 ends a connection on which about 1,100 of them come within a short time: a
 * connection that is shared with the checks of everyone else.
 */
import { connect } from "node:net";
import { afterEach, beforeEach, expect, it } from "@jest/globals";
import type { EnvoyProcess } from "../../dev/envoy-process.js";
import { waitUntil } from "../../dev/wait-for.js";
import { describeReply } from "../support/e2e-http.js";
import { E2eDeployment } from "../support/e2e-deployment.js";

const ABORTS_PER_S = 500;
const ABORTS = 2500;
const BYSTANDERS = 4;
/** A 503 that took nearly as long as a check may: the machine stood still, no connection was lost. */
const TIMED_OUT_MS = 450;
const ABORTED_IN_PAUSE = 1300;
/** More than a connection bears, and less than all: a few are closed before Envoy has read them. */
const RESETS_IN_PAUSE = 1150;
const WAITING_IN_PAUSE = 60;

let deployment: E2eDeployment;
let token: string;

beforeEach(async () => {
  deployment = await E2eDeployment.open();
  token = deployment.token({ tenant: "acme", user: "ann", session: "laptop" });
});
afterEach(() => deployment.close());

it("cost nobody else an answer, however many they are", async () => {
  const { client, envoy } = await deployment.addPod("node-1");
  const bystanders = Array.from({ length: BYSTANDERS }, (_, number) =>
    deployment.poll(`bystander ${number}`, client, "/things", { token }),
  );
  for (const bystander of bystanders) await bystander.until("200", -Infinity);
  await abortRequests(envoy);
  const overMs = performance.now();
  for (const bystander of bystanders) await bystander.until("200", overMs);
  await deployment.stopPollers();

  const refused = bystanders.flatMap(({ seen }) => seen.filter(({ what }) => what === "503"));
  expect(refused.filter(({ sentAtMs, atMs }) => atMs - sentAtMs < TIMED_OUT_MS)).toEqual([]);
  // Most of them reached the node as resets, more than one connection may carry.
  expect(await statisticOf(envoy, "cluster.sekisho.upstream_rq_tx_reset")).toBeGreaterThan(1500);
  expect(await connectionsEndedByTheNode(envoy)).toBe(0);
});

it("cost nobody else an answer where all reach a node at once, after a pause of it", async () => {
  // It waits for the node as long as it takes, so that only a lost connection is answered 503.
  const config = await deployment.patientEnvoyConfig();
  const { authz, client, envoy } = await deployment.addPod("node-1", { config });
  await client.get("/things", { token });

  authz.pause();
  const ask = async () => client.getOnce("/things", { token });
  const waiting = [ask()];
  await untilStatistic(envoy, "cluster.sekisho.upstream_rq_active", waiting.length);
  for (let count = 0; count < ABORTED_IN_PAUSE; count += 1) abortRequest(envoy);
  await untilStatistic(envoy, "http.front.downstream_rq_rx_reset", RESETS_IN_PAUSE);
  waiting.push(...Array.from({ length: WAITING_IN_PAUSE }, ask));
  await untilStatistic(envoy, "cluster.sekisho.upstream_rq_active", waiting.length);
  authz.resume();

  const answers = new Set((await Promise.all(waiting)).map(describeReply));
  // A node that was paused says itself that it is catching up.
  answers.delete("503 revocations_stale");
  answers.delete("200");
  expect([...answers]).toEqual([]);
  expect(await connectionsEndedByTheNode(envoy)).toBe(0);
});

async function statisticOf(envoy: EnvoyProcess, name: string): Promise<number> {
  return (await envoy.statistic(name)) ?? 0;
}

async function untilStatistic(envoy: EnvoyProcess, name: string, count: number): Promise<void> {
  await waitUntil(async () => (await statisticOf(envoy, name)) >= count, {
    what: `${name} to be ${count}`,
    timeoutMs: 30_000,
  });
}

/** By GOAWAY, or without. */
async function connectionsEndedByTheNode(envoy: EnvoyProcess): Promise<number> {
  const names = ["upstream_cx_close_notify", "upstream_cx_destroy_remote"];
  const counts = await Promise.all(
    names.map((name) => statisticOf(envoy, `cluster.sekisho.${name}`)),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

async function abortRequests(envoy: EnvoyProcess): Promise<void> {
  const sinceMs = performance.now();
  for (let sent = 0; sent < ABORTS; sent += 1) {
    const dueMs = sinceMs + (sent * 1000) / ABORTS_PER_S;
    const due = { what: "the next abort to be due", timeoutMs: 5000, everyMs: 2 };
    await waitUntil(() => performance.now() >= dueMs, due);
    abortRequest(envoy);
  }
}

/** On a connection of its own, which is closed before an answer can come. */
function abortRequest(envoy: EnvoyProcess): void {
  const { hostname, port } = new URL(envoy.url);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.on("error", () => undefined);
  socket.resume();
  socket.end(`GET /things HTTP/1.1\r\nhost: api\r\nauthorization: Bearer ${token}\r\n\r\n`);
}
