/** A check whose connection to Sekisho is lost is asked once more; what was answered is not. */
import { status as grpcStatus } from "@grpc/grpc-js";
import { afterAll, beforeAll, beforeEach, expect, test } from "@jest/globals";

import { EchoApi } from "../../dev/echo-api.js";
import { EnvoyProcess } from "../../dev/envoy-process.js";
import { patientEnvoyConfig } from "../support/patient-envoy.js";
import { sendAsWritten } from "../support/request-as-written.js";
import { StubAuthz, allow, deny } from "../support/stub-authz.js";
import { TcpProxy } from "../support/tcp-proxy.js";

/** Of a check, in envoy.yaml. */
const TIMEOUT_MS = 500;
/** The same in the patient one. */
const PATIENT_TIMEOUT_MS = 20_000;

let authz: StubAuthz;
let api: EchoApi;
let proxy: TcpProxy;
let envoy: EnvoyProcess;
/** Gives no check up that a busy machine holds up. */
let patient: EnvoyProcess;

beforeAll(async () => {
  authz = await StubAuthz.start();
  api = await EchoApi.start();
  proxy = await TcpProxy.start(authz.port);
  const upstreams = {
    api: { port: api.port },
    sekisho: { port: Number(new URL(proxy.url).port) },
  };
  envoy = await EnvoyProcess.start(upstreams);
  patient = await EnvoyProcess.start({ ...upstreams, config: await patientEnvoyConfig() });
});
afterAll(async () => {
  await envoy.close();
  await patient.close();
  await proxy.close();
  await api.close();
  authz.close();
});
beforeEach(() => {
  authz.checks.length = 0;
});

const loseConnection = (): undefined => {
  proxy.cutConnections();
  return undefined;
};

test.each([
  { what: "an allow", decided: () => allow({ reason: "allowed" }), status: 200, reached: 1 },
  {
    what: "a refusal",
    decided: () => deny({ reason: "session_revoked" }),
    status: 401,
    reached: 0,
  },
])(
  "a check whose connection is lost is asked once more, and then answered with $what",
  async ({ decided, status, reached }) => {
    const before = api.requests;
    authz.respond = () => (authz.checks.length === 1 ? loseConnection() : decided());
    expect((await sendAsWritten(patient, "/things")).status).toBe(status);
    expect(authz.checks).toHaveLength(2);
    expect(api.requests - before).toBe(reached);
  },
);

test("a check that loses its connection twice is answered 503, before its timeout", async () => {
  const before = api.requests;
  authz.respond = loseConnection;
  const answer = await sendAsWritten(patient, "/things");
  expect(answer.status).toBe(503);
  expect(authz.checks).toHaveLength(2);
  expect(api.requests).toBe(before);
  const { duration_ms: durationMs } = await patient.accessLogOf(answer.requestId);
  expect(durationMs).toBeLessThan(PATIENT_TIMEOUT_MS);
});

test("a check that is asked once more has no more time than one that is not", async () => {
  authz.respond = () => (authz.checks.length === 1 ? loseConnection() : undefined);
  const answer = await sendAsWritten(envoy, "/things");
  expect(answer.status).toBe(503);
  expect(authz.checks).toHaveLength(2);
  const { duration_ms: durationMs } = await envoy.accessLogOf(answer.requestId);
  expect(durationMs).toBeGreaterThanOrEqual(TIMEOUT_MS - 10);
  // Two whole timeouts would be 1,000 ms.
  expect(durationMs).toBeLessThan(2 * TIMEOUT_MS);
});

test.each([
  ["an error", () => ({ code: grpcStatus.UNAVAILABLE, details: "revocations_stale" })],
  ["an error of the handler", () => ({ code: grpcStatus.INTERNAL, details: "internal_error" })],
  ["no answer in time", () => undefined],
])("a check is not asked again after %s", async (_, respond) => {
  authz.respond = respond;
  expect((await sendAsWritten(envoy, "/payments")).status).toBe(503);
  expect(authz.checks).toHaveLength(1);
});
