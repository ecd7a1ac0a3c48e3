import { jwksAnswer } from "./answer-schemas.js";
import { RETRY_AFTER_S } from "./problem.js";
import { noBody, noPath, noQuery } from "./request-fields.js";
import { answered, refused, type Routes } from "./route.js";

export interface KeySet {
  /** The public keys; empty until the first one is loaded. */
  jwks(): { readonly keys: readonly Readonly<Record<string, unknown>>[] };
}

/** A key is published long before it signs, so a minute's delay does not matter. */
const CACHE_CONTROL = "public, max-age=60";

export function addKeySet(routes: Routes, keys: KeySet): void {
  const plan = {
    method: "GET",
    url: "/.well-known/jwks.json",
    summary: "The keys that access tokens are verified with",
    tag: "Keys",
    path: noPath,
    query: noQuery,
    body: noBody,
    answers: { 200: jwksAnswer },
    problems: ["keys_unavailable"],
  } as const;
  routes.open(plan, () => {
    const set = keys.jwks().keys.map((key) => ({ ...key }));
    return Promise.resolve(
      set.length === 0
        ? refused("keys_unavailable", { retryAfterS: RETRY_AFTER_S })
        : { ...answered(200, { keys: set }), headers: { "cache-control": CACHE_CONTROL } },
    );
  });
}
