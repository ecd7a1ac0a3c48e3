/**
 * The gRPC handler of `envoy.service.auth.v3.Authorization/Check`.
 *
 * Every path ends in one explicit answer. Anything thrown on the way is answered as
 * `internal_error`; an allow is sent only for a decision to allow. Observers are called after the
 * answer, and an error that they throw changes nothing.
 *
 * A check that Envoy cancelled is not decided: no answer would arrive, and a decision that is not
 * sent must not be counted.
 */
import { status as grpcStatus, type handleUnaryCall } from "@grpc/grpc-js";
import type {
  CheckRequest,
  CheckResponse,
} from "../../generated/envoy/service/auth/v3/external_auth.js";
import { check, type CheckDependencies, type Checked } from "./check.js";
import { toCheckResponse } from "./check-response.js";
import { refuse } from "./decide.js";

export interface CheckObserver {
  checked(checked: Checked, durationMs: number): void;
  /** A check that Envoy cancelled before it was decided. */
  cancelled(): void;
  failed(error: unknown): void;
}

type Answer = Parameters<handleUnaryCall<CheckRequest, CheckResponse>>[1];

export function checkHandler(
  dependencies: CheckDependencies,
  observer: CheckObserver,
): handleUnaryCall<CheckRequest, CheckResponse> {
  const { clock } = dependencies;
  const reportFailure = (error: unknown): void => {
    try {
      observer.failed(error);
    } catch {
      // The observer itself fails: there is nothing else to report to.
    }
  };
  const report = (what: () => void): void => {
    try {
      what();
    } catch (error) {
      reportFailure(error);
    }
  };
  const finish = (checked: Checked, startedMs: number, answer: Answer): void => {
    try {
      send(checked, answer);
    } catch (error) {
      // If even this answer cannot be sent, the RPC fails: no second try.
      if (checked === INTERNAL_ERROR)
        answer({ code: grpcStatus.INTERNAL, details: "internal_error" });
      else fail(error, startedMs, answer);
      return;
    }
    report(() => observer.checked(checked, clock.monotonicMs() - startedMs));
  };
  const fail = (error: unknown, startedMs: number, answer: Answer): void => {
    finish(INTERNAL_ERROR, startedMs, answer);
    reportFailure(error);
  };
  const cancel = (answer: Answer): void => {
    // Sent only if the call is not over after all.
    answer({ code: grpcStatus.CANCELLED, details: "cancelled" });
    report(() => observer.cancelled());
  };
  return (call, answer) => {
    if (call.cancelled) {
      cancel(answer);
      return;
    }
    const startedMs = clock.monotonicMs();
    let checked: Checked | Promise<Checked>;
    try {
      checked = check(call.request, dependencies);
    } catch (error) {
      fail(error, startedMs, answer);
      return;
    }
    if (!(checked instanceof Promise)) {
      finish(checked, startedMs, answer);
      return;
    }
    checked.then(
      (settled) => (call.cancelled ? cancel(answer) : finish(settled, startedMs, answer)),
      (error: unknown) => fail(error, startedMs, answer),
    );
  };
}

const INTERNAL_ERROR: Checked = {
  decision: refuse("internal_error", false),
  neededScopes: [],
  http: undefined,
};

/** Throws only before it has answered. */
function send({ decision, neededScopes }: Checked, answer: Answer): void {
  if (decision.kind === "error") {
    answer({ code: grpcStatus.UNAVAILABLE, details: decision.reason });
    return;
  }
  const response = toCheckResponse(decision, neededScopes);
  answer(null, response);
}
