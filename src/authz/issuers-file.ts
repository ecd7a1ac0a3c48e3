/**
 * The YAML file with the list `issuers`. Reports all faults at once, each with its location, its
 * value and what is allowed. Rules between members or between entries are checked separately, so
 * that they are reported even where a single member is wrong.
 */
import { parseDocument } from "yaml";
import { z } from "zod";
import { isIdentifier } from "../tokens/identifier.js";
import { ALGORITHMS } from "../tokens/algorithms.js";
import { DEFAULT_CLAIM_NAMES, type Issuer } from "../tokens/issuer.js";
import { readBoundedFile } from "../runtime/config/bounded-file.js";
import {
  describeValue,
  locationText,
  shorten,
  valueAt,
  type Location,
} from "../runtime/config/file-location.js";
import type { ConfigFault } from "../runtime/config/read-variables.js";
import { mustBe } from "../runtime/config/variable.js";
import { AUTHZ_VARIABLES } from "./authz-variables.js";

export const DEFAULT_TYP = "at+jwt";
const FILE_MAX_BYTES = 1024 * 1024;
const ISSUERS_MAX = 64;
/** A bound on the report of a file that is something else altogether. */
const FAULTS_MAX = 100;

type FileFault = Omit<ConfigFault, "where"> & { readonly location: Location };

/** The error of every schema here is what is allowed: the text after "must be". */
function text(allowed: string, isAllowed: (value: string) => boolean) {
  return z.string({ error: allowed }).refine(isAllowed, { error: allowed });
}

function list<T extends z.ZodType>(element: T, allowed: string, max = Infinity) {
  const params = { error: allowed };
  return z.array(element, params).min(1, params).max(max, params);
}

function object<T extends z.ZodRawShape>(shape: T) {
  return z.strictObject(shape, { error: `an object of ${Object.keys(shape).join(", ")}` });
}

const isName = (value: string): boolean => value.length >= 1 && value.length <= 256;
const name = text("a text of 1 to 256 characters", isName);
const nameOrNull = name.nullable();

const { SEKISHO_JWKS_URL } = AUTHZ_VARIABLES;
const jwksUrl = z
  .string({ error: SEKISHO_JWKS_URL.allowed })
  .refine((value) => SEKISHO_JWKS_URL.parse(value) !== undefined, {
    error: ({ input }) => mustBe(SEKISHO_JWKS_URL, String(input)).replace(/^must be /, ""),
  });
const tenant = text(
  "1 to 256 characters of well-formed Unicode without control characters",
  isIdentifier,
);
const algorithms = ALGORITHMS.join(", ");

const claimNamesSchema = object({
  tenant: name.default(DEFAULT_CLAIM_NAMES.tenant),
  user: name.default(DEFAULT_CLAIM_NAMES.user),
  session: name.default(DEFAULT_CLAIM_NAMES.session),
  epoch: nameOrNull.default(DEFAULT_CLAIM_NAMES.epoch),
});

const issuerSchema = object({
  issuer: name,
  audience: name,
  jwks_url: jwksUrl.optional(),
  jwks_file: text("a path", (value) => value !== "").optional(),
  algorithms: list(
    z.enum(ALGORITHMS, { error: `one of ${algorithms}` }),
    `a list of one or more of ${algorithms}`,
  ).default(["ES256"]),
  typ: name.default(DEFAULT_TYP),
  tenants: list(tenant, "a list of at least one tenant").optional(),
  claims: claimNamesSchema.prefault({}),
});

const fileSchema = object({
  issuers: list(issuerSchema, `a list of 1 to ${ISSUERS_MAX} issuers`, ISSUERS_MAX),
});

/** As much of the file as it takes to compare members and entries with each other. */
const outlineSchema = z.object({
  issuers: z.array(z.record(z.string(), z.unknown()).optional().catch(undefined)).max(ISSUERS_MAX),
});

/** The issuers, or faults. */
export function readIssuersFile(path: string, faults: ConfigFault[]): readonly Issuer[] {
  const content = readYaml(path);
  if ("problem" in content) {
    faults.push({ where: "SEKISHO_CONFIG", value: path, problem: content.problem });
    return [];
  }
  const parsed = fileSchema.safeParse(content.value);
  const found = [
    ...(parsed.error?.issues ?? []).flatMap((issue) => memberFaults(issue, content.value)),
    ...entryFaults(content.value),
  ];
  if (parsed.success && found.length === 0) return parsed.data.issuers.map(toIssuer);
  for (const { location, value, problem } of found.slice(0, FAULTS_MAX)) {
    faults.push({ where: `${path}: ${locationText(location)}`, value, problem });
  }
  const more = found.length - FAULTS_MAX;
  if (more > 0) faults.push({ where: path, value: undefined, problem: `has ${more} more` });
  return [];
}

/** A syntax error is reported by kind and position only: the parser's own messages quote the file. */
function readYaml(path: string): { readonly value: unknown } | { readonly problem: string } {
  const file = readBoundedFile(path, FILE_MAX_BYTES);
  if ("problem" in file) return file;
  const document = parseDocument(file.text, { logLevel: "error" });
  const [fault] = [...document.errors, ...document.warnings];
  if (fault !== undefined) {
    const kind = fault.code.toLowerCase().replaceAll("_", " ");
    const [at] = fault.linePos ?? [];
    const position = at === undefined ? "" : ` at line ${at.line}, column ${at.col}`;
    return { problem: `cannot be read as YAML: ${kind}${position}` };
  }
  try {
    return { value: document.toJS() };
  } catch {
    return { problem: "cannot be read as YAML: it has unresolved aliases, or too many" };
  }
}

function memberFaults(issue: z.core.$ZodIssue, content: unknown): readonly FileFault[] {
  if (issue.code === "unrecognized_keys") {
    const problem = `is not known here; allowed are ${membersAt(issue.path).join(", ")}`;
    return issue.keys.map((key) => ({ location: [...issue.path, key], value: undefined, problem }));
  }
  const value = valueAt(content, issue.path);
  const at = { location: issue.path, value: undefined };
  if (value === undefined) return [{ ...at, problem: `is missing: ${issue.message}` }];
  // The whole content is not shown: the path may name a wrong file, with secrets in it.
  const shown = issue.path.length === 0 ? undefined : describeValue(value);
  return [{ ...at, value: shown, problem: `must be ${issue.message}` }];
}

function membersAt(location: Location): readonly string[] {
  if (location.length === 0) return Object.keys(fileSchema.shape);
  return Object.keys((location.at(-1) === "claims" ? claimNamesSchema : issuerSchema).shape);
}

/** What is wrong between the members of an entry, or between the entries. */
function entryFaults(content: unknown): readonly FileFault[] {
  const { issuers = [] } = outlineSchema.safeParse(content).data ?? {};
  const names = issuers.map((entry) => entry?.["issuer"]);
  return issuers.flatMap((entry, index) => {
    if (entry === undefined) return [];
    const fault = (member: string, problem: string): FileFault => {
      return { location: ["issuers", index, member], value: undefined, problem };
    };
    const faults: FileFault[] = [];
    if (typeof entry["issuer"] === "string" && names.indexOf(entry["issuer"]) !== index) {
      const problem = "occurs twice: write one entry for each issuer";
      faults.push({ ...fault("issuer", problem), value: shorten(entry["issuer"]) });
    }
    if (entry["jwks_url"] === undefined && entry["jwks_file"] === undefined) {
      const problem = `is missing, and so is jwks_file: ${SEKISHO_JWKS_URL.meaning}`;
      faults.push(fault("jwks_url", problem));
    }
    if (entry["jwks_url"] !== undefined && entry["jwks_file"] !== undefined) {
      faults.push(fault("jwks_file", "is set as well as jwks_url: set only one of them"));
    }
    if (issuers.length > 1 && entry["tenants"] === undefined) {
      const problem =
        "is needed with more than one issuer: the tenants that it may issue tokens for";
      faults.push(fault("tenants", problem));
    }
    return faults;
  });
}

/** The entry has exactly one of `jwks_url` and `jwks_file`. */
function toIssuer(entry: z.infer<typeof issuerSchema>): Issuer {
  return {
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
  };
}
