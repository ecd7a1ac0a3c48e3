import { Server, ServerCredentials, status as grpcStatus } from "@grpc/grpc-js";
import type { ServerUnaryCall, sendUnaryData } from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";

import { HeaderValueOption_HeaderAppendAction } from "../../src/generated/envoy/config/core/v3/base.js";
import { AuthorizationService } from "../../src/generated/envoy/service/auth/v3/external_auth.js";
import type {
  CheckRequest,
  CheckResponse,
} from "../../src/generated/envoy/service/auth/v3/external_auth.js";
import { StatusCode } from "../../src/generated/envoy/type/v3/http_status.js";

type StubAnswer = CheckResponse | { code: grpcStatus; details: string } | undefined;

/** Sekisho's place taken by a server that answers as it is told, or (undefined) never. */
export class StubAuthz {
  readonly checks: CheckRequest[] = [];
  readonly health = new HealthImplementation({ "": "SERVING" });
  respond: () => StubAnswer = () => undefined;
  readonly port: number;
  readonly #server: Server;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  static async start(): Promise<StubAuthz> {
    const server = new Server();
    let stub: StubAuthz | undefined = undefined;
    server.addService(AuthorizationService, {
      check: (call: ServerUnaryCall<CheckRequest, CheckResponse>, done: Done) =>
        stub?.answer(call.request, done),
    });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    stub = new StubAuthz(server, port);
    stub.health.addToServer(server);
    return stub;
  }

  answer(check: CheckRequest, done: Done): void {
    this.checks.push(check);
    const answer = this.respond();
    if (answer === undefined) return;
    if ("code" in answer) done(answer);
    else done(null, answer);
  }

  close(): void {
    this.#server.forceShutdown();
  }
}
type Done = sendUnaryData<CheckResponse>;

export function allow(
  metadata: Record<string, string>,
  headers: Record<string, string> = {},
): CheckResponse {
  return {
    status: { code: grpcStatus.OK, message: "" },
    dynamicMetadata: metadata,
    httpResponse: {
      $case: "okResponse",
      value: { headers: toOptions(headers), headersToRemove: [] },
    },
  };
}

export function deny(metadata: Record<string, string>): CheckResponse {
  return {
    status: { code: grpcStatus.UNAUTHENTICATED, message: "" },
    dynamicMetadata: metadata,
    httpResponse: {
      $case: "deniedResponse",
      value: {
        status: { code: StatusCode.Unauthorized },
        headers: toOptions({
          "www-authenticate": 'Bearer error="invalid_token"',
          "content-type": "application/problem+json",
        }),
        body: JSON.stringify({ code: metadata["reason"] }),
      },
    },
  };
}

function toOptions(headers: Record<string, string>) {
  return Object.entries(headers).map(([key, value]) => ({
    header: { key, value, rawValue: Buffer.alloc(0) },
    append: false,
    appendAction: HeaderValueOption_HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
  }));
}
