/** Whose tokens are accepted: one issuer from variables, or several from a YAML file. */
import { readFileSync } from "node:fs";
import { parse as parseYaml } from "yaml";
import { z } from "zod";
import { identifierSchema } from "../identity/identifier.js";
import { ALGORITHMS, DEFAULT_CLAIM_NAMES, type Issuer } from "../tokens/issuer.js";
import {
  maskSecrets,
  missingVariable,
  readVariable,
  type ConfigFault,
  type Environment,
} from "./read-variables.js";
import { VARIABLES, type VariableName } from "./variables.js";

const DEFAULT_TYP = "at+jwt";
const CONFIG_FILE_MAX_BYTES = 1024 * 1024;

/** The variables that describe a sole issuer, and therefore exclude a file. */
const SOLE_ISSUER = [
  "SEKISHO_ISSUER",
  "SEKISHO_AUDIENCE",
  "SEKISHO_JWKS_URL",
  "SEKISHO_JWKS_FILE",
  "SEKISHO_ALGORITHMS",
] as const satisfies readonly VariableName[];

const name = z.string().min(1).max(256);

const claimNamesSchema = z
  .strictObject({
    tenant: name.default(DEFAULT_CLAIM_NAMES.tenant),
    user: name.default(DEFAULT_CLAIM_NAMES.user),
    session: name.default(DEFAULT_CLAIM_NAMES.session),
    epoch: name.nullable().default(DEFAULT_CLAIM_NAMES.epoch),
  })
  .prefault({});

const issuerSchema = z
  .strictObject({
    issuer: name,
    audience: name,
    jwks_url: z.url({ protocol: /^https?$/ }).optional(),
    jwks_file: z.string().min(1).optional(),
    algorithms: z.array(z.enum(ALGORITHMS)).min(1).default(["ES256"]),
    typ: name.default(DEFAULT_TYP),
    tenants: z.array(identifierSchema).min(1).optional(),
    claims: claimNamesSchema,
  })
  .refine((entry) => (entry.jwks_url === undefined) !== (entry.jwks_file === undefined), {
    error: "needs either jwks_url or jwks_file",
  })
  .transform((entry): Issuer => ({
    issuer: entry.issuer,
    audience: entry.audience,
    keyLocation:
      entry.jwks_url === undefined
        ? { kind: "file", path: entry.jwks_file ?? "" }
        : { kind: "url", url: entry.jwks_url },
    algorithms: entry.algorithms,
    typ: entry.typ,
    tenants: entry.tenants === undefined ? undefined : new Set(entry.tenants),
    claims: entry.claims,
  }));

const fileSchema = z
  .strictObject({ issuers: z.array(issuerSchema).min(1).max(64) })
  .superRefine(({ issuers }, context) => {
    const names = issuers.map(({ issuer }) => issuer);
    names.forEach((issuer, index) => {
      if (names.indexOf(issuer) !== index) {
        const message = "stands twice: one entry for each issuer";
        context.addIssue({ code: "custom", message, path: ["issuers", index, "issuer"] });
      }
    });
    issuers.forEach(({ tenants }, index) => {
      if (issuers.length > 1 && tenants === undefined) {
        const message = "is needed where there is more than one issuer: whom it may speak for";
        context.addIssue({ code: "custom", message, path: ["issuers", index, "tenants"] });
      }
    });
  });

/** The issuers, or faults. */
export function readIssuers(env: Environment, faults: ConfigFault[]): readonly Issuer[] {
  const path = readVariable(env, "SEKISHO_CONFIG", faults);
  if (path === undefined) return readSoleIssuer(env, faults);
  for (const variable of SOLE_ISSUER) {
    if (env[variable] === undefined || env[variable] === "") continue;
    const problem = "describes a sole issuer, but SEKISHO_CONFIG names a file with all of them";
    faults.push({ where: variable, value: maskSecrets(env[variable]), problem });
  }
  return readIssuersFile(path, faults);
}

function readSoleIssuer(env: Environment, faults: ConfigFault[]): readonly Issuer[] {
  const issuer = readVariable(env, "SEKISHO_ISSUER", faults);
  const audience = readVariable(env, "SEKISHO_AUDIENCE", faults);
  const faultsBefore = faults.length;
  const url = readVariable(env, "SEKISHO_JWKS_URL", faults);
  const path = readVariable(env, "SEKISHO_JWKS_FILE", faults);
  const noKeys = url === undefined && path === undefined && faults.length === faultsBefore;
  const algorithms = readVariable(env, "SEKISHO_ALGORITHMS", faults);
  if (issuer === undefined) faults.push(missingVariable("SEKISHO_ISSUER"));
  if (audience === undefined) faults.push(missingVariable("SEKISHO_AUDIENCE"));
  if (noKeys) {
    const { meaning } = VARIABLES.SEKISHO_JWKS_URL;
    const problem = `is not set, nor is SEKISHO_JWKS_FILE: ${meaning}`;
    faults.push({ where: "SEKISHO_JWKS_URL", value: undefined, problem });
  }
  if (url !== undefined && path !== undefined) {
    const problem = "is set beside SEKISHO_JWKS_URL: keys come from one place";
    faults.push({ where: "SEKISHO_JWKS_FILE", value: path, problem });
  }
  if (issuer === undefined || audience === undefined || algorithms === undefined) return [];
  const keyLocation =
    url === undefined
      ? ({ kind: "file", path: path ?? "" } as const)
      : ({ kind: "url", url } as const);
  const claims = DEFAULT_CLAIM_NAMES;
  const typ = DEFAULT_TYP;
  return [{ issuer, audience, keyLocation, algorithms, typ, tenants: undefined, claims }];
}

function readIssuersFile(path: string, faults: ConfigFault[]): readonly Issuer[] {
  const fault = (problem: string): readonly Issuer[] => {
    faults.push({ where: "SEKISHO_CONFIG", value: path, problem });
    return [];
  };
  let content: unknown;
  try {
    const text = readFileSync(path, "utf8");
    if (text.length > CONFIG_FILE_MAX_BYTES) return fault("is larger than 1 MiB");
    content = parseYaml(text);
  } catch (error) {
    const [line] = (error instanceof Error ? error.message : String(error)).split("\n");
    return fault(`cannot be read as YAML: ${line ?? ""}`);
  }
  const parsed = fileSchema.safeParse(content);
  if (parsed.success) return parsed.data.issuers;
  for (const { path: place, message } of parsed.error.issues) {
    faults.push({ where: `${path}: ${formatPlace(place)}`, value: undefined, problem: message });
  }
  return [];
}

/** `issuers[1].audience` */
function formatPlace(place: readonly PropertyKey[]): string {
  const text = place
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`))
    .join("");
  return text === "" ? "the file" : text.replace(/^\./, "");
}
