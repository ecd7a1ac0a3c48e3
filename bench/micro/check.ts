/**
 * One check in process, without gRPC and network: decode, check, encode. Once with the token in the
 * cache, and once with its signature verified each time, one after the other.
 */
import { createTokenMint } from "../../dev/token-mint.js";
import type { TokenMint } from "../../dev/token-mint.js";
import { check } from "../../src/authz/check/check.js";
import type { CheckDependencies, Checked } from "../../src/authz/check/check.js";
import { toCheckResponse } from "../../src/authz/check/check-response.js";
import { routePolicyReader } from "../../src/authz/check/route-policy.js";
import { momentOf, systemClock } from "../../src/runtime/clock.js";
import {
  CheckRequest,
  CheckResponse,
} from "../../src/generated/envoy/service/auth/v3/external_auth.js";
import { LocalState } from "../../src/authz/follow/local-state.js";
import { revocationStatusOf } from "../../src/authz/follow/revocation-status.js";
import { IssuerKeys } from "../../src/tokens/issuer-keys.js";
import { DEFAULT_CLAIM_NAMES } from "../../src/tokens/issuer.js";
import type { Issuer } from "../../src/tokens/issuer.js";
import { TokenVerifier } from "../../src/tokens/verification.js";
import type { Spread } from "../report/percentile.js";
import { timeOperation } from "./operations.js";
import type { Repetition } from "./operations.js";

/** More than one, so that a cache of one entry misses every time. */
const TOKENS = 100;
/** Revocations of others that are held meanwhile. */
const REVOKED_SESSIONS = 10_000;

export interface MicroResult {
  readonly name: string;
  readonly nsPerOperation: Spread;
}

/** `small`: only to see that it runs and answers rightly. */
export async function measureChecks(
  folder: string,
  { small }: { readonly small: boolean },
): Promise<MicroResult[]> {
  const mint = await createTokenMint(folder);
  const issuer = issuerOf(mint);
  const keys = new IssuerKeys(issuer, { clock: systemClock, maxAgeMs: 3_600_000 });
  await keys.start();
  try {
    const requests = await Promise.all(
      Array.from({ length: TOKENS }, async (_, index) => encodedRequest(mint, index)),
    );
    const repetition = { rounds: small ? 1 : 7, operations: small ? 200 : 40_000 };
    const measured = async (name: string, cacheMaxEntries: number, factor: number) => {
      const verifier = new TokenVerifier({
        issuers: [{ issuer, keys }],
        cacheMaxEntries,
        pendingMax: 1,
      });
      const times = { ...repetition, operations: Math.ceil(repetition.operations / factor) };
      return { name, nsPerOperation: await timeChecks(times, requests, dependenciesOf(verifier)) };
    };
    return [
      await measured("token in the cache", TOKENS, 1),
      await measured("signature verified (ES256)", 1, 10),
    ];
  } finally {
    keys.close();
  }
}

async function timeChecks(
  repetition: Repetition,
  requests: readonly Uint8Array[],
  dependencies: CheckDependencies,
): Promise<Spread> {
  const conclude = (checked: Checked, index: number) => {
    if (checked.decision.kind === "error") throw new Error(checked.decision.reason);
    const response = toCheckResponse(checked.decision, checked.neededScopes);
    const bytes = CheckResponse.encode(response).finish();
    // Decoding each answer would be timed as well; that the check allowed it is known here.
    if (checked.decision.kind !== "allow") throw new Error(`denied: ${checked.decision.reason}`);
    if (index < requests.length) assertIdentifies(bytes, index);
  };
  return timeOperation(repetition, (index) => {
    const bytes = requests[index % requests.length];
    if (bytes === undefined) throw new Error("there are no requests");
    const checked = check(CheckRequest.decode(bytes), dependencies);
    if (!(checked instanceof Promise)) {
      conclude(checked, index);
      return;
    }
    return checked.then((settled) => conclude(settled, index));
  });
}

function assertIdentifies(response: Uint8Array, index: number): void {
  const { httpResponse } = CheckResponse.decode(response);
  const headers = httpResponse?.$case === "okResponse" ? httpResponse.value.headers : [];
  const user = headers.find(({ header }) => header?.key === "x-auth-user-id")?.header?.value;
  if (user !== userOf(index)) throw new Error(`user ${user ?? "(none)"} for ${userOf(index)}`);
}

const userOf = (index: number): string => `user-${index}`;

function issuerOf(mint: TokenMint): Issuer {
  return {
    issuer: mint.issuer,
    audience: mint.audience,
    keyLocation: { kind: "file", path: mint.jwksFile },
    algorithms: ["ES256"],
    typ: "at+jwt",
    tenants: undefined,
    claims: DEFAULT_CLAIM_NAMES,
  };
}

/** As Envoy writes it with the settings of envoy.yaml: raw headers, one by one. */
async function encodedRequest(mint: TokenMint, index: number): Promise<Uint8Array> {
  const owner = { tenant: "bench", user: userOf(index), session: `session-${index}`, epoch: 0 };
  const headers = {
    authorization: `Bearer ${await mint.mint(owner)}`,
    "x-request-id": "0a1b2c3d-0a1b-4a1b-8a1b-0a1b2c3d4e5f",
  };
  const raw = Object.entries(headers).map(([key, value]) => ({
    key,
    value: "",
    rawValue: Buffer.from(value),
  }));
  const http = {
    id: "1234567890123456789",
    method: "GET",
    path: "/reports/42",
    host: "api.example",
    scheme: "http",
    protocol: "HTTP/1.1",
    headers: {},
    headerMap: { headers: raw },
  };
  const contextExtensions = { "sekisho.auth": "required" };
  return CheckRequest.encode({ attributes: { request: { http }, contextExtensions } }).finish();
}

function dependenciesOf(verifier: TokenVerifier): CheckDependencies {
  const clock = systemClock;
  const state = new LocalState(2 * REVOKED_SESSIONS, clock);
  for (let n = 0; n < REVOKED_SESSIONS; n += 1) {
    const session = `revoked-${n}`;
    const revocation = {
      kind: "session_revoked",
      tenant: "bench",
      session,
      user: undefined,
    } as const;
    state.apply(revocation, clock.wallMs() + 3_600_000);
  }
  const limits = { maxStalenessMs: 1000, skewMs: 5000 };
  return {
    verify: (token) => verifier.verify(token),
    revocationStatusOf: (token) => {
      const now = momentOf(clock);
      return revocationStatusOf(
        token,
        { state, freshness: { provenAt: now, coversFromMs: 0 } },
        now,
        limits,
      );
    },
    policyOf: routePolicyReader("deny"),
    limits: { clockSkewS: 5, maxTokenLifetimeS: 900 },
    clock,
  };
}
