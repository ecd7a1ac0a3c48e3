import type { RoutePolicy } from "../../../../src/authz/check/route-policy.js";
import { CheckRequest } from "../../../../src/generated/envoy/service/auth/v3/external_auth.js";
import type { RevocationStatus } from "../../../../src/authz/follow/revocation-status.js";
import type { AccessToken } from "../../../../src/tokens/access-token.js";
import { DEFAULT_CLAIM_NAMES, type Issuer } from "../../../../src/tokens/issuer.js";
import { tokenNames } from "../../../support/token-names.js";

export const NOW_S = 1_800_000_000;
export const LIMITS = { clockSkewS: 5, maxTokenLifetimeS: 900 };

export function tokenWith(parts: Partial<AccessToken> = {}): AccessToken {
  return {
    ...tokenNames("acme", "ann", "s-1"),
    audience: ["https://api.example"],
    epoch: 3,
    issuedAt: NOW_S - 100,
    expiresAt: NOW_S + 200,
    notBefore: undefined,
    scopes: new Set(["read", "write"]),
    ...parts,
  };
}

export function issuerWith(parts: Partial<Issuer> = {}): Issuer {
  return {
    issuer: "https://issuer.example",
    audience: "https://api.example",
    keyLocation: { kind: "file", path: "/nowhere" },
    algorithms: ["ES256"],
    typ: "at+jwt",
    tenants: undefined,
    claims: DEFAULT_CLAIM_NAMES,
    ...parts,
  };
}

export function policyWith(parts: Partial<RoutePolicy> = {}): RoutePolicy {
  return { auth: "required", tenant: undefined, scopes: [], onStale: "deny", ...parts };
}

export function statusWith(parts: Partial<RevocationStatus> = {}): RevocationStatus {
  return {
    sessionRevoked: false,
    epoch: 0,
    issuedBefore: 0,
    tokenRevoked: false,
    clientIssuedBefore: 0,
    keyRevoked: false,
    tenantIssuedBefore: 0,
    allIssuedBefore: 0,
    uncertainty: undefined,
    ...parts,
  };
}

interface RawHeader {
  readonly key: string;
  readonly value?: string;
  readonly raw?: Uint8Array | string;
}

/** A request as it comes off the wire: what is built here has gone through the codec. */
export function requestWith(parts: {
  readonly headers?: Readonly<Record<string, string>>;
  readonly headerMap?: readonly RawHeader[];
  readonly route?: Readonly<Record<string, string>>;
}): CheckRequest {
  const headerMap = parts.headerMap && {
    headers: parts.headerMap.map(({ key, value = "", raw = "" }) => ({
      key,
      value,
      rawValue: Buffer.from(raw),
    })),
  };
  const http = {
    id: "1",
    method: "GET",
    path: "/",
    host: "api.example",
    scheme: "http",
    protocol: "HTTP/1.1",
    headers: { ...parts.headers },
    headerMap,
  };
  const attributes = { request: { http }, contextExtensions: { ...parts.route } };
  return CheckRequest.decode(CheckRequest.encode({ attributes }).finish());
}
