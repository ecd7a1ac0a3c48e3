import { EventEmitter } from "node:events";
import { Metadata, type handleUnaryCall, type ServerUnaryCall } from "@grpc/grpc-js";
import type {
  CheckRequest,
  CheckResponse,
} from "../../../../src/generated/envoy/service/auth/v3/external_auth.js";

export interface Answer {
  /** The RPC's error code; undefined if it succeeded. */
  readonly code: number | undefined;
  readonly details: string | undefined;
  readonly response: CheckResponse | undefined;
}

/**
 * All the answers that a handler gives to one request; the promise settles with the first that is
 * taken. `take` may throw, as a transport does that cannot send an answer.
 */
export function answersOf(
  handler: handleUnaryCall<CheckRequest, CheckResponse>,
  request: CheckRequest,
  take: (answer: Answer) => void = () => undefined,
  call = callWith(request),
): { readonly all: readonly Answer[]; readonly first: Promise<Answer> } {
  const all: Answer[] = [];
  const first = new Promise<Answer>((resolve) => {
    handler(call, (error, response) => {
      const answer: Answer = {
        code: error?.code ?? undefined,
        details: error?.details ?? undefined,
        response: response ?? undefined,
      };
      all.push(answer);
      take(answer);
      resolve(answer);
    });
  });
  return { all, first };
}

export function answerOf(
  handler: handleUnaryCall<CheckRequest, CheckResponse>,
  request: CheckRequest,
): Promise<Answer> {
  return answersOf(handler, request).first;
}

/** A call with its request, and whether it is over: the handler is to look at nothing else. */
export function callWith(
  request: CheckRequest,
  cancelled = false,
): ServerUnaryCall<CheckRequest, CheckResponse> {
  return Object.assign(new EventEmitter(), {
    request,
    cancelled,
    metadata: new Metadata(),
    getPeer: notHere,
    getDeadline: notHere,
    getPath: notHere,
    getHost: notHere,
    sendMetadata: notHere,
    getAuthContext: notHere,
    getMetricsRecorder: notHere,
  });
}

function notHere(): never {
  throw new Error("the handler looks at more than the request");
}
