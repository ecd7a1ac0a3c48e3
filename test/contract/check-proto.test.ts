/**
 * Our subset of Envoy's protos against Envoy's own: the same names, numbers and types, and bytes that
 * either side reads as the other wrote them. Three codecs take part: the one that the server uses
 * (made by ts-proto from proto/), proto/ as another library reads it, and Envoy's full protos.
 */
import { join } from "node:path";

import { describe, expect, test } from "@jest/globals";
import { loadSync } from "@grpc/proto-loader";
import fc from "fast-check";
import { z } from "zod";

import { repositoryRoot } from "../../dev/repository.js";
import { HeaderValueOption_HeaderAppendAction } from "../../src/generated/envoy/config/core/v3/base.js";
import {
  AuthorizationService,
  CheckRequest,
  CheckResponse,
} from "../../src/generated/envoy/service/auth/v3/external_auth.js";
import { StatusCode } from "../../src/generated/envoy/type/v3/http_status.js";

const ROOT_FILE = "envoy/service/auth/v3/external_auth.proto";
const ENVOY_DEPS = join(repositoryRoot(), "node_modules/@grpc/grpc-js-xds/deps");

const enumSchema = z.object({
  name: z.string(),
  value: z.array(z.object({ name: z.string(), number: z.number() })),
});
const messageSchema = z.object({
  name: z.string(),
  field: z.array(
    z.object({
      name: z.string(),
      number: z.number(),
      label: z.string(),
      type: z.string(),
      typeName: z.string(),
    }),
  ),
  get nestedType() {
    return z.array(messageSchema);
  },
  enumType: z.array(enumSchema),
});
type Message = z.infer<typeof messageSchema>;
type Enum = z.infer<typeof enumSchema>;

const subset = load([join(repositoryRoot(), "proto")]);
const full = load(
  ["envoy-api", "googleapis", "xds", "protoc-gen-validate"].map((name) => join(ENVOY_DEPS, name)),
);
const subsetTypes = describeTypes(subset);
const fullTypes = describeTypes(full);

describe("the subset of Envoy's protos", () => {
  test("holds the messages that a check is made of", () => {
    expect([...subsetTypes.keys()]).toEqual(
      expect.arrayContaining([
        "envoy.config.core.v3.HeaderMap",
        "envoy.config.core.v3.HeaderValue",
        "envoy.config.core.v3.HeaderValueOption",
        "envoy.config.core.v3.HeaderValueOption.HeaderAppendAction",
        "envoy.service.auth.v3.AttributeContext",
        "envoy.service.auth.v3.AttributeContext.HttpRequest",
        "envoy.service.auth.v3.AttributeContext.HttpRequest.Headers",
        "envoy.service.auth.v3.AttributeContext.Request",
        "envoy.service.auth.v3.CheckRequest",
        "envoy.service.auth.v3.CheckResponse",
        "envoy.service.auth.v3.DeniedHttpResponse",
        "envoy.service.auth.v3.OkHttpResponse",
        "envoy.type.v3.HttpStatus",
        "envoy.type.v3.StatusCode",
        "google.rpc.Status",
      ]),
    );
  });

  // Both readers bring google.protobuf along themselves, so there is nothing to compare.
  const own = [...subsetTypes].filter(([name]) => !name.startsWith("google.protobuf."));

  test.each(own)("writes %s as Envoy does", (name, members) => {
    const envoys = fullTypes.get(name);
    expect(members.length).toBeGreaterThan(0);
    expect(envoys).toEqual(expect.arrayContaining(members));
  });

  test("is served under Envoy's name", () => {
    const service = z.object({ Check: z.object({ path: z.string() }) });
    const { Check } = service.parse(full["envoy.service.auth.v3.Authorization"]);
    expect(AuthorizationService.check.path).toBe(Check.path);
  });
});

describe("a CheckRequest", () => {
  /** Everything that Envoy can tell, with what we do not read. */
  const envoys = {
    attributes: {
      source: { address: { socket_address: { address: "10.0.0.1", port_value: 7 } } },
      destination: { principal: "spiffe://x", labels: { a: "b" } },
      request: {
        time: { seconds: 1, nanos: 2 },
        http: {
          id: "123",
          method: "POST",
          headers: { "x-request-id": "r", authorization: "Bearer a,Bearer b" },
          header_map: {
            headers: [
              { key: "authorization", raw_value: Buffer.from("Bearer \xe9", "latin1") },
              { key: "authorization", value: "Bearer two" },
            ],
          },
          path: "/things?a=%20",
          host: "api.example",
          scheme: "https",
          query: "q",
          fragment: "f",
          size: -1,
          protocol: "HTTP/2",
          body: "b",
          raw_body: Buffer.from([0, 255]),
        },
      },
      context_extensions: { "sekisho.auth": "required", "sekisho.scopes": "a b" },
      metadata_context: { filter_metadata: { x: { fields: { y: { stringValue: "z" } } } } },
      route_metadata_context: { filter_metadata: {} },
      tls_session: { sni: "api.example" },
    },
  };
  /** The part of it that we read. */
  const ours: CheckRequest = {
    attributes: {
      request: {
        http: {
          id: "123",
          method: "POST",
          headers: { "x-request-id": "r", authorization: "Bearer a,Bearer b" },
          headerMap: {
            headers: [
              { key: "authorization", value: "", rawValue: Buffer.from("Bearer \xe9", "latin1") },
              { key: "authorization", value: "Bearer two", rawValue: Buffer.alloc(0) },
            ],
          },
          path: "/things?a=%20",
          host: "api.example",
          scheme: "https",
          protocol: "HTTP/2",
        },
      },
      contextExtensions: { "sekisho.auth": "required", "sekisho.scopes": "a b" },
    },
  };

  test("of Envoy is read, and the fields that the subset leaves out are skipped", () => {
    expect(CheckRequest.decode(encodeBy(full, "CheckRequest", envoys))).toEqual(ours);
  });

  test("of Envoy is read alike by the second reader of the subset", () => {
    const { id, method, headers, header_map, path, host, scheme, protocol } =
      envoys.attributes.request.http;
    const http = { id, method, headers, header_map, path, host, scheme, protocol };
    const { context_extensions } = envoys.attributes;
    const expected = { attributes: { request: { http }, context_extensions } };
    const decoded = decodeBy(subset, "CheckRequest", encodeBy(full, "CheckRequest", envoys));
    expect(decoded).toEqual(expected);
  });

  test("of ours is read by Envoy as it was written", () => {
    const decoded = decodeBy(full, "CheckRequest", CheckRequest.encode(ours).finish());
    expect(encodeBy(full, "CheckRequest", decoded)).toEqual(
      Buffer.from(CheckRequest.encode(ours).finish()),
    );
    expect(CheckRequest.decode(encodeBy(full, "CheckRequest", decoded))).toEqual(ours);
    expect(decoded).toMatchObject({
      attributes: {
        request: {
          http: { method: "POST", header_map: { headers: [{ key: "authorization" }, {}] } },
        },
        context_extensions: envoys.attributes.context_extensions,
      },
    });
  });

  test("without any sub-message is read as one", () => {
    expect(CheckRequest.decode(encodeBy(full, "CheckRequest", {}))).toEqual({
      attributes: undefined,
    });
    const tcp = encodeBy(full, "CheckRequest", {
      attributes: { request: { time: { seconds: 1 } } },
    });
    expect(CheckRequest.decode(tcp).attributes?.request).toEqual({ http: undefined });
  });

  test("keeps whatever text and bytes Envoy puts into it", () => {
    const text = fc.string({ unit: "binary" });
    const header = fc.record({ key: text, raw_value: fc.uint8Array().map((b) => Buffer.from(b)) });
    // The key __proto__ is dropped by either reader; it comes from Envoy's configuration only.
    const key = text.filter((name) => name !== "__proto__");
    const extensions = fc.dictionary(key, text, { noNullPrototype: true });
    fc.assert(
      fc.property(text, fc.array(header), extensions, (path, headers, context_extensions) => {
        const bytes = encodeBy(full, "CheckRequest", {
          attributes: { request: { http: { path, header_map: { headers } } }, context_extensions },
        });
        const read = CheckRequest.decode(bytes).attributes;
        expect(read?.request?.http?.path).toBe(path);
        expect(read?.contextExtensions).toEqual(context_extensions);
        expect(read?.request?.http?.headerMap?.headers).toEqual(
          headers.map(({ key, raw_value }) => ({ key, value: "", rawValue: raw_value })),
        );
      }),
    );
  });
});

describe("a CheckResponse", () => {
  const { OVERWRITE_IF_EXISTS_OR_ADD } = HeaderValueOption_HeaderAppendAction;
  const allowed: CheckResponse = {
    status: { code: 0, message: "" },
    httpResponse: {
      $case: "okResponse",
      value: {
        headers: [
          {
            header: { key: "x-auth-user-id", value: "u-1", rawValue: Buffer.alloc(0) },
            append: false,
            appendAction: OVERWRITE_IF_EXISTS_OR_ADD,
          },
        ],
        headersToRemove: ["x-auth-session-id"],
      },
    },
    dynamicMetadata: { reason: "allowed", tenant: "tenänt" },
  };
  const denied: CheckResponse = {
    status: { code: 16, message: "session_revoked" },
    httpResponse: {
      $case: "deniedResponse",
      value: {
        status: { code: StatusCode.Unauthorized },
        headers: [
          {
            header: { key: "www-authenticate", value: "Bearer", rawValue: Buffer.alloc(0) },
            append: false,
            appendAction: OVERWRITE_IF_EXISTS_OR_ADD,
          },
        ],
        body: "{}",
      },
    },
    dynamicMetadata: { reason: "session_revoked" },
  };
  const envoysAllowed = {
    // Code 0 is not written, the message around it is.
    status: {},
    ok_response: {
      headers: [
        {
          header: { key: "x-auth-user-id", value: "u-1" },
          // There, with the value false: a field that is not there means "append" to old Envoys.
          append: {},
          append_action: "OVERWRITE_IF_EXISTS_OR_ADD",
        },
      ],
      headers_to_remove: ["x-auth-session-id"],
    },
    http_response: "ok_response",
    dynamic_metadata: {
      fields: {
        reason: { stringValue: "allowed", kind: "stringValue" },
        tenant: { stringValue: "tenänt", kind: "stringValue" },
      },
    },
  };
  const envoysDenied = {
    status: { code: 16, message: "session_revoked" },
    denied_response: {
      status: { code: "Unauthorized" },
      headers: [
        {
          header: { key: "www-authenticate", value: "Bearer" },
          append: {},
          append_action: "OVERWRITE_IF_EXISTS_OR_ADD",
        },
      ],
      body: "{}",
    },
    http_response: "denied_response",
    dynamic_metadata: {
      fields: { reason: { stringValue: "session_revoked", kind: "stringValue" } },
    },
  };

  test.each([
    ["an allow", allowed, envoysAllowed],
    ["a denial", denied, envoysDenied],
    [
      "an allow without anything",
      { status: undefined, httpResponse: undefined, dynamicMetadata: undefined },
      {},
    ],
  ])("that is %s is read by Envoy as it was written", (_, ours, envoys) => {
    const bytes = CheckResponse.encode(ours).finish();
    expect(decodeBy(full, "CheckResponse", bytes)).toEqual(envoys);
    expect(decodeBy(subset, "CheckResponse", bytes)).toEqual(envoys);
  });

  test.each([
    ["an allow", allowed, envoysAllowed],
    ["a denial", denied, envoysDenied],
  ])("that is %s and written by Envoy's protos is read by ours", (_, ours, envoys) => {
    expect(CheckResponse.decode(encodeBy(full, "CheckResponse", envoys))).toEqual(ours);
    expect(CheckResponse.decode(encodeBy(subset, "CheckResponse", envoys))).toEqual(ours);
  });

  test("says append: false on the wire, and nothing where append is left open", () => {
    const append = (value: boolean | undefined) =>
      Buffer.from(
        CheckResponse.encode({
          status: undefined,
          dynamicMetadata: undefined,
          httpResponse: {
            $case: "okResponse",
            value: {
              headers: [{ header: undefined, append: value, appendAction: 0 }],
              headersToRemove: [],
            },
          },
        }).finish(),
      ).toString("hex");
    // 3: ok_response, 2: headers, 2: append, an empty BoolValue; lengths between them.
    expect(append(false)).toBe("1a04" + "1202" + "1200");
    expect(append(undefined)).toBe("1a02" + "1200");
  });
});

type Package = ReturnType<typeof loadSync>;

function load(includeDirs: string[]): Package {
  return loadSync(ROOT_FILE, {
    includeDirs,
    keepCase: true,
    longs: Number,
    enums: String,
    oneofs: true,
  });
}

function messageOf(from: Package, name: string) {
  const definition = from[`envoy.service.auth.v3.${name}`];
  if (definition === undefined || !("serialize" in definition)) throw new Error(`no ${name}`);
  const { serialize, deserialize } = definition;
  if (typeof serialize !== "function" || typeof deserialize !== "function") {
    throw new Error(`${name} is not a message`);
  }
  return { serialize, deserialize };
}

function encodeBy(from: Package, name: string, message: object): Buffer {
  return messageOf(from, name).serialize(message);
}

function decodeBy(from: Package, name: string, bytes: Uint8Array): object {
  return messageOf(from, name).deserialize(Buffer.from(bytes));
}

/** Each message's fields and each enum's values, one line per member, by the type's full name. */
function describeTypes(from: Package): Map<string, string[]> {
  const types = new Map<string, Message | Enum>();
  const add = (fullName: string, type: Message | Enum) => {
    types.set(fullName, type);
    if ("value" in type) return;
    for (const nested of [...type.nestedType, ...type.enumType]) {
      add(`${fullName}.${nested.name}`, nested);
    }
  };
  for (const [fullName, definition] of Object.entries(from)) {
    if (!("type" in definition)) continue;
    add(fullName, z.union([messageSchema, enumSchema]).parse(definition.type));
  }
  return new Map(
    [...types].map(([fullName, type]) => [
      fullName,
      "value" in type
        ? type.value.map(({ name, number }) => `${name} = ${number}`)
        : type.field.map(({ name, number, label, type: kind, typeName }) => {
            const named = typeName === "" ? "" : ` ${resolve(typeName, fullName, types)}`;
            return `${label} ${kind}${named} ${name} = ${number}`;
          }),
    ]),
  );
}

/** The full name of a type, named from inside another one (innermost scope first). */
function resolve(typeName: string, from: string, types: ReadonlyMap<string, unknown>): string {
  for (
    let scope = from;
    scope !== "";
    scope = scope.slice(0, Math.max(0, scope.lastIndexOf(".")))
  ) {
    if (types.has(`${scope}.${typeName}`)) return `${scope}.${typeName}`;
  }
  if (types.has(typeName)) return typeName;
  throw new Error(`${from} names an unknown type ${typeName}`);
}
