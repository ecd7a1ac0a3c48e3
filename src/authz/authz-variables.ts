/** The variables of `sekisho authz`, the common ones among them. */
import { hostname } from "node:os";
import { ON_STALE } from "../revocation-log/on-stale.js";
import { COMMON_VARIABLES } from "../runtime/config/common-variables.js";
import { faultOfHttpUrl } from "../runtime/config/connection-url.js";
import { HTTP_URL, oneOf, text, url, variable, wholeNumber } from "../runtime/config/variable.js";
import { parseListenAddress } from "../runtime/listen-address.js";
import { ALGORITHMS } from "../tokens/algorithms.js";

const NODE_ID = /^[A-Za-z0-9._-]{1,128}$/;

function parseAlgorithms(value: string): readonly (typeof ALGORITHMS)[number][] | undefined {
  const names = value.split(/[\s,]+/).filter((name) => name !== "");
  const known = ALGORITHMS.filter((algorithm) => names.includes(algorithm));
  return known.length > 0 && known.length === new Set(names).size ? known : undefined;
}

export const AUTHZ_VARIABLES = {
  ...COMMON_VARIABLES,
  SEKISHO_LISTEN: variable(
    "where the sidecar listens for Envoy (gRPC); port 0 takes a free one and logs it",
    "HOST:PORT or unix:/PATH",
    "127.0.0.1:9191",
    parseListenAddress,
  ),
  SEKISHO_CONNECTIONS_MAX: wholeNumber(
    "how many connections to the sidecar's gRPC port may be open; beyond that the least used is closed",
    256,
    8,
    65_536,
  ),
  SEKISHO_CONNECTION_MAX_IDLE_S: wholeNumber(
    "how long a connection there may carry no request, in seconds",
    300,
    1,
    86_400,
  ),
  SEKISHO_CONNECTION_MAX_AGE_S: wholeNumber(
    "how long a connection there may be open, in seconds; 0: for ever",
    0,
    0,
    86_400,
  ),
  SEKISHO_OPS_LISTEN: variable(
    "where the sidecar listens for probes and Prometheus (HTTP); port 0 takes a free one and logs it",
    "HOST:PORT or unix:/PATH",
    "127.0.0.1:9192",
    parseListenAddress,
  ),
  SEKISHO_LOG_UNKEPT_MAX_S: wholeNumber(
    "for how long a node relies on a log after its session service's last stamp, in seconds; 0: for ever",
    0,
    0,
    86_400,
  ),
  SEKISHO_JWKS_URL: url(
    "where the issuer publishes its keys (a JWK Set)",
    HTTP_URL,
    faultOfHttpUrl,
  ),
  SEKISHO_JWKS_FILE: text("the issuer's keys, in a file", "a path"),
  SEKISHO_ALGORITHMS: variable(
    "the signature algorithms that are accepted",
    `one or more of ${ALGORITHMS.join(", ")}, separated by commas`,
    "ES256",
    parseAlgorithms,
  ),
  SEKISHO_JWKS_MAX_AGE_S: wholeNumber(
    "how long keys are used after they were last confirmed, in seconds",
    86_400,
    60,
    2_592_000,
  ),
  SEKISHO_MAX_STALENESS_MS: wholeNumber(
    "how old a node's last proof that it has applied the whole log may be, in milliseconds",
    1000,
    750,
    60_000,
  ),
  SEKISHO_ON_STALE: oneOf(
    "what a node answers once that proof is older, where the route does not say",
    ON_STALE,
    "deny",
  ),
  SEKISHO_REVOCATIONS_MAX_ENTRIES: wholeNumber(
    "how many revoked sessions and users are held in memory",
    200_000,
    1,
    10_000_000,
  ),
  SEKISHO_TOKEN_CACHE_MAX_ENTRIES: wholeNumber(
    "how many verified tokens are cached",
    50_000,
    1,
    1_000_000,
  ),
  SEKISHO_VERIFICATIONS_MAX_PENDING: wholeNumber(
    "how many signatures may be waiting to be verified at once",
    256,
    1,
    65_536,
  ),
  SEKISHO_NODE_ID: variable(
    "the name of this node in receipts and `sekisho nodes`",
    "1 to 128 letters, digits, dots, hyphens and underscores",
    undefined,
    (value) => (NODE_ID.test(value) ? value : undefined),
  ),
  SEKISHO_CONFIG: text("a YAML file with the list `issuers`, for more than one issuer", "a path"),
} as const;

/** The host's name as a node id: characters that it may not contain become hyphens. */
export function defaultNodeId(): string {
  const name = hostname()
    .replace(/[^A-Za-z0-9._-]/g, "-")
    .slice(0, 128);
  return name === "" ? "node" : name;
}
