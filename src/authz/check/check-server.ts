/** The gRPC server that Envoy talks to: the check and the health service (grpc.health.v1). */
import { Server, ServerCredentials, type handleUnaryCall } from "@grpc/grpc-js";
import type { Http2Session, ServerHttp2Stream } from "node:http2";
import { HealthImplementation } from "grpc-health-check";
import type { CheckConnections } from "./check-connections.js";
import { onConnection, scheduleRequests, setHttp2Options } from "./grpc-http2.js";
import { RequestScheduler } from "./request-scheduler.js";
import {
  AuthorizationService,
  type CheckRequest,
  type CheckResponse,
} from "../../generated/envoy/service/auth/v3/external_auth.js";
import { removeDeadSocket } from "../../runtime/dead-socket.js";
import { formatListenAddress, type ListenAddress } from "../../runtime/listen-address.js";

/** Envoy's own limit on headers is 60 KiB: a check of any request that it accepts must fit. */
const RECEIVE_MAX_BYTES = 128 * 1024;

/** Envoy sends a few short headers; those of the checked request are in the message. */
const HEADERS_MAX_BYTES = 16 * 1024;
const HEADERS_MAX = 64;
/**
 * The number of resets after which nghttp2 ends a connection with everything in flight. Envoy resets
 * a check when its client goes away, and many clients share a connection: so this is far above the
 * limit of `connection-limits.ts`.
 */
const RESET_BURST = 10_000;
const RESETS_PER_S = 1_000;

const SERVICES = ["", "envoy.service.auth.v3.Authorization"];

export interface CheckServer {
  readonly address: ListenAddress;
  setServing(serving: boolean): void;
  /** Accepts nothing new, finishes what is in flight within `withinMs`, then closes. */
  drain(withinMs: number): Promise<void>;
}

/** Rejects if it cannot listen on the address. The connections are closed with the server. */
export async function listenForChecks(
  address: ListenAddress,
  handler: handleUnaryCall<CheckRequest, CheckResponse>,
  connections: CheckConnections,
): Promise<CheckServer> {
  const server = new Server({
    "grpc.enable_channelz": 0,
    "grpc.max_receive_message_length": RECEIVE_MAX_BYTES,
  });
  setHttp2Options(server, {
    settings: { maxHeaderListSize: HEADERS_MAX_BYTES },
    maxHeaderListPairs: HEADERS_MAX,
    streamResetBurst: RESET_BURST,
    streamResetRate: RESETS_PER_S,
  });
  const health = new HealthImplementation();
  const setServing = (serving: boolean): void => {
    for (const service of SERVICES) health.setStatus(service, serving ? "SERVING" : "NOT_SERVING");
  };
  setServing(false);
  health.addToServer(server);
  server.addService(AuthorizationService, { check: handler });
  await removeDeadSocket(address);
  const port = await bind(server, address);
  onConnection(server, (session, socket) => connections.add(session, socket));
  const scheduler = new RequestScheduler<Http2Session | undefined, ServerHttp2Stream>();
  scheduleRequests(server, (stream, begin) => scheduler.add(stream.session, stream, begin));
  return {
    address: address.kind === "tcp" ? { ...address, port } : address,
    setServing,
    drain: (withinMs) => drain(server, connections, withinMs),
  };
}

function bind(server: Server, address: ListenAddress): Promise<number> {
  return new Promise((resolve, reject) => {
    const credentials = ServerCredentials.createInsecure();
    server.bindAsync(formatListenAddress(address), credentials, (error, port) => {
      if (error === null) resolve(port);
      else reject(error);
    });
  });
}

function drain(server: Server, connections: CheckConnections, withinMs: number): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      clearTimeout(timer);
      connections.close();
      resolve();
    };
    const timer = setTimeout(() => {
      server.forceShutdown();
      finish();
    }, withinMs);
    server.tryShutdown(finish);
  });
}
