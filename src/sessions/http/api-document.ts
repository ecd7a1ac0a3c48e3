/** The OpenAPI document at /openapi.json, and its pages at /docs, which load nothing external. */
import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import type { FastifyInstance } from "fastify";
import {
  createJsonSchemaTransform,
  createJsonSchemaTransformObject,
} from "fastify-type-provider-zod";
import { PROBLEM_CODES, PROBLEMS } from "./problem-codes.js";
import { API_SCHEMAS } from "./request-fields.js";

/** Only its own scripts and images, and the inline styles that Swagger UI sets. */
const DOCS_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const withAnswers = createJsonSchemaTransformObject({ schemaRegistry: API_SCHEMAS });

/** Call before adding the routes. */
export async function describeApi(app: FastifyInstance): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "Sekisho: the session service", version: "1", description: description() },
      components: {
        securitySchemes: { bearer: { type: "http", scheme: "bearer", bearerFormat: "JWT" } },
      },
    },
    transform: createJsonSchemaTransform({ schemaRegistry: API_SCHEMAS }),
    transformObject: (document) => tidied(withAnswers(document)),
  });
}

/** Call after adding the routes. */
export async function showApi(app: FastifyInstance): Promise<void> {
  app.route({
    method: "GET",
    url: "/openapi.json",
    schema: { hide: true },
    handler: (_request, reply) =>
      reply
        .headers({ "content-type": "application/json", "cache-control": "no-cache" })
        .send(JSON.stringify(app.swagger())),
  });
  await app.register(async (docs) => {
    docs.addHook("onSend", async (_request, reply) => {
      reply.headers({
        "content-security-policy": DOCS_POLICY,
        "referrer-policy": "no-referrer",
        "x-frame-options": "DENY",
        "cache-control": "no-cache",
      });
    });
    await docs.register(swaggerUi, {
      routePrefix: "/docs",
      // Otherwise the document is sent to a validator on the internet.
      uiConfig: { validatorUrl: null, persistAuthorization: false },
    });
  });
}

/**
 * Without the second copy of each answer that the transform makes for use in requests, and with
 * what it cannot know: a body is optional if all of its fields are.
 */
function tidied(document: ReturnType<typeof withAnswers>): ReturnType<typeof withAnswers> {
  if (!("components" in document)) return document;
  const { components, paths } = document;
  const schemas = components.schemas ?? {};
  for (const name of Object.keys(schemas)) {
    if (name.endsWith("Input")) Reflect.deleteProperty(schemas, name);
  }
  for (const path of Object.values(paths ?? {})) {
    const body = path?.post?.requestBody;
    if (body === undefined || "$ref" in body) continue;
    const schema = body.content["application/json"]?.schema;
    if (schema !== undefined && !("$ref" in schema)) {
      body.required = (schema.required ?? []).length > 0;
    }
  }
  return document;
}

function description(): string {
  const codes = PROBLEM_CODES.map((code) => {
    const { status, title } = PROBLEMS[code];
    return `| \`${code}\` | ${status} | ${title} |`;
  });
  return [
    "Errors are `application/problem+json` (RFC 9457), identified by their `code`; 4xx is the client's fault, 5xx the system's. `Retry-After` says when to try again.",
    "",
    "| code | status | |",
    "|---|---|---|",
    ...codes,
  ].join("\n");
}
