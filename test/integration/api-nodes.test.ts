/** Who may ask the API for the nodes, and what it answers. */
import { afterAll, beforeAll, beforeEach, expect, test } from "@jest/globals";

import type { NodeReport } from "../../src/revocation-log/nodes-report.js";
import { RevocationLogError } from "../../src/revocation-log/revocation-log.js";
import type { NodesReader } from "../../src/sessions/http/nodes-route.js";
import { InProcessApi, type TestCaller } from "../support/in-process-api.js";
import { startPglite, type StartedDatabase } from "../support/databases.js";
import { InProcessSessions } from "../support/in-process-sessions.js";

const PATH = "/v1/admin/nodes";
const NODE: NodeReport = {
  node: "node-1",
  state: "behind",
  seq: 3,
  seenMsAgo: 12,
  maxStalenessMs: 1000,
  onStale: "deny",
  group: "node-1:abc:1",
  formats: [1, 2],
  kinds: ["session_revoked"],
  version: "1.2.3",
};
const LOG = { generation: "g", seq: 4, authority: "database" } as const;

let started: StartedDatabase;
let service: InProcessSessions;
let api: InProcessApi;
let operator: TestCaller;

beforeAll(async () => {
  started = await startPglite();
  service = new InProcessSessions(started.database);
  api = await InProcessApi.start(service);
  operator = await api.caller({ role: "operator" });
});
beforeEach(() => {
  api.readNodes = () => Promise.resolve({ log: LOG, nodes: [NODE] });
  api.failures.length = 0;
});
afterAll(async () => {
  await api.close();
  await service.close();
  await started.stop();
});

const ask = (token?: string) => api.call("GET", PATH, token === undefined ? {} : { token });
const answers = (reader: NodesReader["readNodes"]) => (api.readNodes = reader);

test("an operator sees the log and what each node has applied of it", async () => {
  const { status, json } = await ask(operator.token);
  expect(status).toBe(200);
  expect(json).toEqual({
    log: LOG,
    nodes: [
      {
        node: "node-1",
        state: "behind",
        seq: 3,
        seen_ms_ago: 12,
        max_staleness_ms: 1000,
        on_stale: "deny",
        group: "node-1:abc:1",
        formats: [1, 2],
        kinds: ["session_revoked"],
        version: "1.2.3",
      },
    ],
  });
});

test("an operator sees when the log was kept and closed, and who is still in a former one", async () => {
  const former = {
    node: "node-9",
    retired: false,
    maxStalenessMs: 1000,
    onStale: "allow",
  } as const;
  const log = { ...LOG, recordedGeneration: "h", keptMsAgo: 400, retiredMsAgo: 70 };
  answers(() => Promise.resolve({ log, nodes: [], former: [former] }));
  expect((await ask(operator.token)).json).toEqual({
    log: { ...LOG, recorded_generation: "h", kept_ms_ago: 400, retired_ms_ago: 70 },
    nodes: [],
    former_nodes: [{ node: "node-9", retired: false, max_staleness_ms: 1000, on_stale: "allow" }],
  });
});

test("a node of the first version says no version", async () => {
  answers(() => Promise.resolve({ log: LOG, nodes: [{ ...NODE, version: undefined }] }));
  const { json } = await ask(operator.token);
  expect(json).toMatchObject({ nodes: [{ kinds: ["session_revoked"] }] });
  expect(JSON.stringify(json)).not.toContain("version");
});

test("a log that nobody follows has no nodes", async () => {
  answers(() => Promise.resolve({ log: LOG, nodes: [] }));
  expect((await ask(operator.token)).json).toEqual({ log: LOG, nodes: [] });
});

test.each([["tenant_admin"], ["user"]] as const)("a %s is refused", async (role) => {
  const { token } = await api.caller({ role });
  expect(await ask(token)).toMatchObject({ status: 403, json: { code: "scope_insufficient" } });
});

test("nobody in particular is refused", async () => {
  expect(await ask()).toMatchObject({ status: 401, json: { code: "token_missing" } });
});

test.each([
  ["there is none to follow", () => Promise.resolve(undefined)],
  [
    "Redis is away",
    () => Promise.reject(new RevocationLogError("unavailable", "redis: refused hunter2")),
  ],
])("where %s, it is the system's fault and passes by itself", async (_, reader) => {
  answers(reader);
  const answer = await ask(operator.token);
  expect(answer).toMatchObject({
    status: 503,
    headers: { "retry-after": "1" },
    json: { code: "log_unavailable" },
  });
  expect(answer.text).not.toContain("hunter2");
});

test("a bug is answered as one and told in the log", async () => {
  answers(() => Promise.reject(new TypeError("of undefined")));
  const answer = await ask(operator.token);
  expect(answer).toMatchObject({ status: 500, json: { code: "internal_error" } });
  expect(answer.text).not.toContain("of undefined");
  expect(api.failures).toHaveLength(1);
});
