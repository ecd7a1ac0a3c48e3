/** Reads Envoy's check request: the credentials, the route's settings, the ids for the logs. */
import type { AttributeContext_HttpRequest } from "../../generated/envoy/service/auth/v3/attribute_context.js";
import type { CheckRequest } from "../../generated/envoy/service/auth/v3/external_auth.js";
import { bearerTokenIn } from "../../tokens/bearer.js";

/** The content of `authorization`. `unusable`: anything but exactly one bearer token. */
export type Credentials =
  | { readonly kind: "none" }
  | { readonly kind: "unusable" }
  | { readonly kind: "bearer"; readonly token: string };

export interface HttpCheck {
  readonly credentials: Credentials;
  readonly contextExtensions: Readonly<Record<string, string>>;
  readonly requestId: string | undefined;
  readonly traceId: string | undefined;
}

/** undefined if the check is not about an HTTP request: `request_malformed`. */
export function readHttpCheck(request: CheckRequest): HttpCheck | undefined {
  const http = request.attributes?.request?.http;
  if (request.attributes === undefined || http === undefined) return undefined;
  const headers = new WantedHeaders(http);
  return {
    credentials: readCredentials(headers.authorization),
    contextExtensions: request.attributes.contextExtensions,
    requestId: headers.requestId,
    traceId: readTraceId(headers.traceparent) ?? headers.b3TraceId,
  };
}

/**
 * The headers that matter, from both fields in which Envoy may send them: `headers`, where repeated
 * ones are joined by commas, and `header_map` (encode_raw_headers), where they come one by one.
 */
class WantedHeaders {
  readonly authorization: string[] = [];
  requestId: string | undefined;
  traceparent: string | undefined;
  b3TraceId: string | undefined;

  constructor(http: AttributeContext_HttpRequest) {
    for (const name of Object.keys(http.headers)) this.#take(name, http.headers[name] ?? "");
    for (const { key, value, rawValue } of http.headerMap?.headers ?? []) {
      // One character per byte: anything outside ASCII is then outside a token's alphabet.
      if (rawValue.length === 0) this.#take(key, value);
      else this.#take(key, Buffer.from(rawValue).toString("latin1"));
    }
  }

  #take(name: string, value: string): void {
    switch (name.toLowerCase()) {
      case "authorization":
        this.authorization.push(value);
        break;
      case "x-request-id":
        this.requestId = value;
        break;
      case "traceparent":
        this.traceparent = value;
        break;
      case "x-b3-traceid":
        this.b3TraceId = value;
        break;
      default:
        break;
    }
  }
}

function readCredentials(authorization: readonly string[]): Credentials {
  const [value] = authorization;
  if (value === undefined) return { kind: "none" };
  if (authorization.length > 1) return { kind: "unusable" };
  const token = bearerTokenIn(value);
  return token === undefined ? { kind: "unusable" } : { kind: "bearer", token };
}

/** W3C Trace Context, section 3.2.2: version-traceid-parentid-flags. */
function readTraceId(traceparent: string | undefined): string | undefined {
  return /^[0-9a-f]{2}-([0-9a-f]{32})-/.exec(traceparent ?? "")?.[1];
}
