import { EventEmitter, once } from "node:events";
import { describe, expect, test } from "@jest/globals";
import { status as grpcStatus } from "@grpc/grpc-js";
import { checkHandler, type CheckObserver } from "../../../../src/authz/check/check-handler.js";
import type { CheckDependencies, Checked } from "../../../../src/authz/check/check.js";
import { CheckResponse } from "../../../../src/generated/envoy/service/auth/v3/external_auth.js";
import type { Verification } from "../../../../src/tokens/verification.js";
import { ManualClock } from "../../../support/manual-clock.js";
import { answersOf, callWith, type Answer } from "./answer.js";
import {
  issuerWith,
  LIMITS,
  NOW_S,
  policyWith,
  requestWith,
  statusWith,
  tokenWith,
} from "./request-parts.js";

const REQUEST = requestWith({ headers: { authorization: "Bearer a.b.c" } });
const GOOD: Verification = { verified: true, token: tokenWith(), issuer: issuerWith() };

class Seen implements CheckObserver {
  readonly answers: (readonly [Checked, number])[] = [];
  readonly errors: unknown[] = [];
  given = 0;
  checked(checked: Checked, durationMs: number): void {
    this.answers.push([checked, durationMs]);
  }
  cancelled(): void {
    this.given += 1;
  }
  failed(error: unknown): void {
    this.errors.push(error);
  }
}

function dependenciesWith(parts: Partial<CheckDependencies> = {}): CheckDependencies {
  return {
    verify: () => GOOD,
    revocationStatusOf: () => statusWith(),
    policyOf: () => policyWith(),
    limits: LIMITS,
    clock: new ManualClock(NOW_S * 1000),
    ...parts,
  };
}

/** All answers to one request, after everything that was under way has settled. */
async function answersTo(
  parts: Partial<CheckDependencies>,
  observer: CheckObserver = new Seen(),
  request = REQUEST,
) {
  const { all, first } = answersOf(checkHandler(dependenciesWith(parts), observer), request);
  await first;
  await new Promise((resolve) => setImmediate(resolve));
  return all;
}

const boom = (): never => {
  throw new Error("boom");
};

function expectInternalError(answers: Awaited<ReturnType<typeof answersTo>>): void {
  expect(answers).toHaveLength(1);
  const response = answers[0]?.response;
  if (response === undefined) throw new Error("the RPC failed");
  const bytes = CheckResponse.encode(response).finish();
  expect(bytes.length).toBeGreaterThan(0);
  const { status, httpResponse, dynamicMetadata } = CheckResponse.decode(bytes);
  expect(status?.code).toBe(grpcStatus.INTERNAL);
  expect(dynamicMetadata).toEqual({ reason: "internal_error" });
  if (httpResponse?.$case !== "deniedResponse") throw new Error("not a denial");
  expect(httpResponse.value.status?.code).toBe(500);
}

const later = Promise.resolve(GOOD);

/** A verification that comes out good once the test says so. */
function pendingVerification() {
  const gate = new EventEmitter();
  const verifying = async (): Promise<Verification> => {
    await once(gate, "verified");
    return GOOD;
  };
  return { promise: verifying(), settle: () => gate.emit("verified") };
}

describe("an error on the way is one explicit denial, never an allow", () => {
  const faults: readonly (readonly [string, Partial<CheckDependencies>])[] = [
    ["verify throws", { verify: boom }],
    ["verify rejects", { verify: () => Promise.reject(new Error("boom")) }],
    ["the policy cannot be read", { policyOf: boom }],
    ["the status of a remembered token cannot be had", { revocationStatusOf: boom }],
    [
      "the status of a token just verified cannot be had",
      { verify: () => later, revocationStatusOf: boom },
    ],
  ];

  test.each(faults)("where %s", async (_what, parts) => {
    const seen = new Seen();
    expectInternalError(await answersTo(parts, seen));
    expect(seen.errors).toEqual([new Error("boom")]);
    expect(seen.answers.map(([{ decision }]) => decision.reason)).toEqual(["internal_error"]);
  });

  test.each(faults)("where %s and nobody can be told", async (_what, parts) => {
    expectInternalError(await answersTo(parts, { checked: boom, cancelled: boom, failed: boom }));
  });

  test("where the answer to an allow cannot be made", async () => {
    const token = tokenWith();
    Object.defineProperty(token, "tenant", { get: boom });
    const verification: Verification = { verified: true, token, issuer: issuerWith() };
    const policyOf = () => policyWith({ auth: "optional" });
    for (const verify of [() => verification, () => Promise.resolve(verification)]) {
      const seen = new Seen();
      expectInternalError(await answersTo({ verify, policyOf }, seen));
      expect(seen.errors).toEqual([new Error("boom")]);
      expect(seen.answers.map(([{ decision }]) => decision.reason)).toEqual(["internal_error"]);
    }
  });

  test("where the wall clock fails after the signature was checked", async () => {
    class FailingClock extends ManualClock {
      override wallMs(): number {
        return boom();
      }
    }
    expectInternalError(await answersTo({ verify: () => later, clock: new FailingClock() }));
  });
});

test("an answer that cannot be sent, whatever it is, ends in one failed RPC", async () => {
  const take = ({ response }: Answer): void => {
    if (response !== undefined) throw new Error("not sent");
  };
  const { all, first } = answersOf(checkHandler(dependenciesWith(), new Seen()), REQUEST, take);
  await first;
  await new Promise((resolve) => setImmediate(resolve));
  // The allow, the denial in its place, and then neither again.
  expect(all.map(({ code }) => code)).toEqual([undefined, undefined, grpcStatus.INTERNAL]);
});

describe("an observer that throws", () => {
  test.each([
    ["an allow", {}, grpcStatus.OK],
    ["an allow after a signature", { verify: () => later }, grpcStatus.OK],
    ["a denial", { revocationStatusOf: () => statusWith({ sessionRevoked: true }) }, 16],
  ])("does not change %s", async (_what, parts: Partial<CheckDependencies>, code) => {
    for (const failed of [() => undefined, boom]) {
      const answers = await answersTo(parts, { checked: boom, cancelled: boom, failed });
      expect(answers.map(({ response }) => response?.status?.code)).toEqual([code]);
    }
  });

  test("is told of its own error", async () => {
    const errors: unknown[] = [];
    const failed = (error: unknown) => void errors.push(error);
    await answersTo({}, { checked: boom, cancelled: boom, failed });
    expect(errors).toEqual([new Error("boom")]);
  });
});

describe("a check that was given up", () => {
  const CANCELLED = { code: grpcStatus.CANCELLED, details: "cancelled", response: undefined };

  test("before it is looked at is neither verified nor decided nor counted", async () => {
    const seen = new Seen();
    const handler = checkHandler(dependenciesWith({ verify: boom, policyOf: boom }), seen);
    const { all, first } = answersOf(handler, REQUEST, undefined, callWith(REQUEST, true));
    await first;
    expect(all).toEqual([CANCELLED]);
    expect([seen.answers, seen.errors, seen.given]).toEqual([[], [], 1]);
  });

  test("while its signature is verified is not answered by a decision, and not counted", async () => {
    const seen = new Seen();
    const { promise: verifying, settle } = pendingVerification();
    const call = callWith(REQUEST);
    const handler = checkHandler(dependenciesWith({ verify: () => verifying }), seen);
    const { all, first } = answersOf(handler, REQUEST, undefined, call);
    call.cancelled = true;
    settle();
    await first;
    expect(all).toEqual([CANCELLED]);
    expect([seen.answers, seen.errors, seen.given]).toEqual([[], [], 1]);
  });

  test("is answered once even where nobody can be told", () => {
    const observer = { checked: boom, cancelled: boom, failed: boom };
    const handler = checkHandler(dependenciesWith(), observer);
    const { all } = answersOf(handler, REQUEST, undefined, callWith(REQUEST, true));
    expect(all).toEqual([CANCELLED]);
  });
});

describe("on_stale=error", () => {
  test("fails the RPC with UNAVAILABLE, so that Envoy's own policy governs", async () => {
    const seen = new Seen();
    const answers = await answersTo(
      {
        policyOf: () => policyWith({ onStale: "error" }),
        revocationStatusOf: () => statusWith({ uncertainty: "stale" }),
      },
      seen,
    );
    const { UNAVAILABLE: code } = grpcStatus;
    expect(answers).toEqual([{ code, details: "revocations_stale", response: undefined }]);
    expect(seen.answers.map(([{ decision }]) => decision.kind)).toEqual(["error"]);
  });
});

describe("each request", () => {
  test.each([
    ["whose token is remembered", {}],
    ["whose signature had to be checked", { verify: () => later }],
  ])("%s is answered once and then told, with the time it took", async (_what, parts) => {
    const clock = new ManualClock(NOW_S * 1000);
    const seen = new Seen();
    const revocationStatusOf = () => {
      clock.advance(7);
      return statusWith();
    };
    const answers = await answersTo(
      { ...parts, revocationStatusOf: revocationStatusOf, clock },
      seen,
    );
    expect(answers.map(({ response }) => response?.status?.code)).toEqual([grpcStatus.OK]);
    expect(seen.answers.map(([{ decision }, ms]) => [decision.reason, ms])).toEqual([
      ["allowed", 7],
    ]);
    expect(seen.errors).toEqual([]);
  });

  test("reads the status after the signature was checked", async () => {
    const { promise: verifying, settle } = pendingVerification();
    let revoked = false;
    const dependencies = dependenciesWith({
      verify: () => verifying,
      revocationStatusOf: () => statusWith({ sessionRevoked: revoked }),
    });
    const { all, first } = answersOf(checkHandler(dependencies, new Seen()), REQUEST);
    expect(all).toEqual([]);
    revoked = true;
    settle();
    expect((await first).response?.dynamicMetadata?.["reason"]).toBe("session_revoked");
  });

  test("reads the time after the signature was checked", async () => {
    const clock = new ManualClock(NOW_S * 1000);
    const verify = async (): Promise<Verification> => {
      await Promise.resolve();
      clock.advance(1_000_000);
      return GOOD;
    };
    const [answer] = await answersTo({ verify, clock });
    expect(answer?.response?.dynamicMetadata?.["reason"]).toBe("token_expired");
  });

  test("is not verified where it presents nothing, and no status is looked up", async () => {
    const parts = { verify: boom, revocationStatusOf: boom };
    const [missing] = await answersTo(parts, new Seen(), requestWith({}));
    expect(missing?.response?.dynamicMetadata).toEqual({ reason: "token_missing" });
    const policyOf = () => policyWith({ auth: "public" });
    const [open] = await answersTo({ ...parts, policyOf });
    expect(open?.response?.dynamicMetadata).toEqual({ reason: "allowed_anonymous" });
  });

  test("has the token that was presented verified, and nothing around it", async () => {
    const asked: string[] = [];
    const verify = (token: string) => {
      asked.push(token);
      return GOOD;
    };
    const request = requestWith({ headers: { authorization: "bearer  a.b.c" } });
    await answersTo({ verify }, new Seen(), request);
    expect(asked).toEqual(["a.b.c"]);
  });
});
