/** What the OpenAPI document says that the API takes, for tests that go through all of it. */
import { z } from "zod";

import { inPath, type ApiCall, type InProcessApi } from "./in-process-api.js";

const fieldSchema = z.object({
  type: z.enum(["string", "integer", "boolean"]).optional(),
  maxLength: z.number().optional(),
  enum: z.array(z.string()).optional(),
});

const operationSchema = z.object({
  parameters: z
    .array(z.object({ in: z.enum(["path", "query"]), name: z.string(), schema: fieldSchema }))
    .default([]),
  requestBody: z
    .object({
      content: z.object({
        "application/json": z.object({
          schema: z.object({
            properties: z.record(z.string(), fieldSchema),
            required: z.array(z.string()).default([]),
          }),
        }),
      }),
    })
    .optional(),
  security: z.array(z.unknown()).default([]),
});

const documentSchema = z.object({
  paths: z.record(z.string(), z.record(z.string(), operationSchema)),
});

export interface ApiField {
  readonly name: string;
  readonly maxLength: number | undefined;
  readonly required: boolean;
}

export interface ApiOperation {
  /** `POST /v1/login` */
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly pathFields: readonly ApiField[];
  readonly queryFields: readonly ApiField[];
  /** undefined: it takes none. */
  readonly bodyFields: readonly ApiField[] | undefined;
  readonly needsToken: boolean;
}

export async function operationsOf(api: InProcessApi): Promise<readonly ApiOperation[]> {
  const { json } = await api.call("GET", "/openapi.json");
  const { paths } = documentSchema.parse(json);
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): ApiOperation => {
      const placed = (place: string): readonly ApiField[] =>
        operation.parameters
          .filter((parameter) => parameter.in === place)
          .map(({ name, schema: { maxLength } }) => ({
            name,
            maxLength,
            required: place === "path",
          }));
      const body = operation.requestBody?.content["application/json"].schema;
      const bodyFields =
        body &&
        Object.entries(body.properties).map(([name, { maxLength }]) => ({
          name,
          maxLength,
          required: body.required.includes(name),
        }));
      return {
        name: `${method.toUpperCase()} ${path}`,
        method: method.toUpperCase(),
        path,
        pathFields: placed("path"),
        queryFields: placed("query"),
        bodyFields,
        needsToken: operation.security.length > 0,
      };
    }),
  );
}

export interface Filling {
  readonly path: Readonly<Record<string, string>>;
  /** As it is written, encoding included. */
  readonly query?: string;
  readonly body?: unknown;
  readonly token?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The operation's request with these values in it; `path` values are encoded here. */
export function requestOf(
  operation: ApiOperation,
  { path, query, body, token, headers }: Filling,
): { readonly method: string; readonly path: string; readonly call: ApiCall } {
  const filled = operation.path.replace(/\{(\w+)\}/g, (_all, name: string) => {
    const value = path[name];
    if (value === undefined) throw new Error(`there is no ${name} for ${operation.name}`);
    return inPath(value);
  });
  const call: ApiCall = {
    ...(token === undefined ? {} : { token }),
    ...(body === undefined ? {} : { body }),
    ...(headers === undefined ? {} : { headers }),
  };
  return {
    method: operation.method,
    path: query === undefined ? filled : `${filled}?${query}`,
    call,
  };
}
