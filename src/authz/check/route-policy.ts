/**
 * What a route requires, from Envoy's `context_extensions`. They come from the operator's
 * configuration, never from the client.
 *
 * A typo in a route must not open it: every key that begins like one of ours must be one of them,
 * with an allowed value.
 */
import { z } from "zod";
import { identifierSchema } from "../../tokens/identifier.js";
import { ON_STALE, type OnStale } from "../../revocation-log/on-stale.js";

export interface RoutePolicy {
  /** `optional`: no token passes as anonymous, a bad one is refused. `public`: tokens are ignored. */
  readonly auth: "required" | "optional" | "public";
  /** The only tenant that may pass; undefined: any. */
  readonly tenant: string | undefined;
  /** All of them are needed. */
  readonly scopes: readonly string[];
  readonly onStale: OnStale;
}

/** RFC 6749, section 3.3: scope tokens separated by single spaces. */
const SCOPES = /^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/;

const policySchema = z.strictObject({
  "sekisho.auth": z.enum(["required", "optional", "public"]).default("required"),
  "sekisho.tenant": identifierSchema.optional(),
  "sekisho.scopes": z.string().regex(SCOPES).optional(),
  "sekisho.on_stale": z.enum(ON_STALE).optional(),
});

const OUR_KEY = /^\s*sekisho/i;

/** undefined: `route_policy_invalid`. */
export function parseRoutePolicy(
  extensions: Readonly<Record<string, string>>,
  defaultOnStale: OnStale,
): RoutePolicy | undefined {
  const ours = Object.entries(extensions).filter(([key]) => OUR_KEY.test(key));
  const parsed = policySchema.safeParse(Object.fromEntries(ours));
  if (!parsed.success) return undefined;
  const auth = parsed.data["sekisho.auth"];
  const tenant = parsed.data["sekisho.tenant"];
  const scopes = parsed.data["sekisho.scopes"]?.split(" ") ?? [];
  if (auth === "public" && (tenant !== undefined || scopes.length > 0)) return undefined;
  return { auth, tenant, scopes, onStale: parsed.data["sekisho.on_stale"] ?? defaultOnStale };
}

/** A mistyped key that may be logged. A client that bypasses Envoy can send anything, a token too. */
const NAMED_KEY = /^\s*sekisho[._-]?[a-z_-]{0,24}\s*$/i;

/** What is wrong with a route's keys, for the log; undefined: nothing. */
export function routePolicyFault(extensions: Readonly<Record<string, string>>): string | undefined {
  const ours = Object.entries(extensions).filter(([key]) => OUR_KEY.test(key));
  const parsed = policySchema.safeParse(Object.fromEntries(ours));
  if (parsed.success) {
    return parseRoutePolicy(extensions, "deny") === undefined
      ? "sekisho.auth: public goes neither with sekisho.tenant nor with sekisho.scopes"
      : undefined;
  }
  return parsed.error.issues
    .map((issue) => (issue.code === "unrecognized_keys" ? issue.keys : issue.path).map(String))
    .map((keys) => (keys.every((key) => NAMED_KEY.test(key)) ? keys.join(", ") : "a key"))
    .map((keys) => `${keys} is not a known key, or its value is not allowed`)
    .join("; ");
}

/** How many different policies are remembered; routes are configured, so there are few. */
const POLICIES_REMEMBERED_MAX = 256;

/**
 * `parseRoutePolicy` with a cache: the same few maps come with every request. The cache is cleared
 * when it is full, so that it stays bounded whatever is sent.
 */
export function routePolicyReader(
  defaultOnStale: OnStale,
): (extensions: Readonly<Record<string, string>>) => RoutePolicy | undefined {
  const known = new Map<string, RoutePolicy | undefined>();
  return (extensions) => {
    const key = JSON.stringify(extensions);
    if (known.has(key)) return known.get(key);
    const policy = parseRoutePolicy(extensions, defaultOnStale);
    if (known.size >= POLICIES_REMEMBERED_MAX) known.clear();
    known.set(key, policy);
    return policy;
  };
}
