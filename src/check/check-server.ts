/** The gRPC server that Envoy talks to: the check and the health service (grpc.health.v1). */
import { Server, ServerCredentials, type handleUnaryCall } from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";
import {
  AuthorizationService,
  type CheckRequest,
  type CheckResponse,
} from "../generated/envoy/service/auth/v3/external_auth.js";
import { removeDeadSocket } from "../listen/dead-socket.js";
import { formatListenAddress, type ListenAddress } from "../listen/listen-address.js";

/** Envoy's own limit on headers is 60 KiB: what it lets through must get an answer with a reason. */
const RECEIVE_MAX_BYTES = 128 * 1024;

const SERVICES = ["", "envoy.service.auth.v3.Authorization"];

export interface CheckServer {
  readonly address: ListenAddress;
  setServing(serving: boolean): void;
  /** Takes nothing new, finishes what is in flight within `withinMs`, then closes. */
  drain(withinMs: number): Promise<void>;
}

/** Rejects if the address cannot be had. */
export async function listenForChecks(
  address: ListenAddress,
  handler: handleUnaryCall<CheckRequest, CheckResponse>,
): Promise<CheckServer> {
  const server = new Server({
    "grpc.enable_channelz": 0,
    "grpc.max_receive_message_length": RECEIVE_MAX_BYTES,
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
  return {
    address: address.kind === "tcp" ? { ...address, port } : address,
    setServing,
    drain: (withinMs) => drain(server, withinMs),
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

function drain(server: Server, withinMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, withinMs);
    server.tryShutdown(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
