/** Whose tokens are accepted: one issuer from variables, or several from a YAML file. */
import { DEFAULT_CLAIM_NAMES, type Issuer } from "../tokens/issuer.js";
import { DEFAULT_TYP, readIssuersFile } from "./issuers-file.js";
import { maskSecrets, type VariableReader } from "../runtime/config/read-variables.js";
import { AUTHZ_VARIABLES } from "./authz-variables.js";

type Reader = VariableReader<typeof AUTHZ_VARIABLES>;

/** The variables that describe a single issuer, and therefore exclude a file. */
const SOLE_ISSUER = [
  "SEKISHO_ISSUER",
  "SEKISHO_AUDIENCE",
  "SEKISHO_JWKS_URL",
  "SEKISHO_JWKS_FILE",
  "SEKISHO_ALGORITHMS",
] as const satisfies readonly (keyof typeof AUTHZ_VARIABLES)[];

/** The issuers, or faults. */
export function readIssuers(read: Reader): readonly Issuer[] {
  const { env, faults } = read;
  const path = read.value("SEKISHO_CONFIG");
  if (path === undefined) return readSoleIssuer(read);
  for (const variable of SOLE_ISSUER) {
    if (env[variable] === undefined || env[variable] === "") continue;
    const problem = "describes a single issuer, but SEKISHO_CONFIG names a file with all of them";
    faults.push({ where: variable, value: maskSecrets(env[variable]), problem });
  }
  return readIssuersFile(path, faults);
}

function readSoleIssuer(read: Reader): readonly Issuer[] {
  const { faults } = read;
  const issuer = read.required("SEKISHO_ISSUER");
  const audience = read.required("SEKISHO_AUDIENCE");
  const faultsBefore = faults.length;
  const url = read.value("SEKISHO_JWKS_URL");
  const path = read.value("SEKISHO_JWKS_FILE");
  if (url === undefined && path === undefined && faults.length === faultsBefore) {
    const { meaning } = AUTHZ_VARIABLES.SEKISHO_JWKS_URL;
    const problem = `is not set, nor is SEKISHO_JWKS_FILE: ${meaning}`;
    faults.push({ where: "SEKISHO_JWKS_URL", value: undefined, problem });
  }
  if (url !== undefined && path !== undefined) {
    const problem = "is set as well as SEKISHO_JWKS_URL: set only one of them";
    faults.push({ where: "SEKISHO_JWKS_FILE", value: path, problem });
  }
  const algorithms = read.value("SEKISHO_ALGORITHMS");
  if (issuer === undefined || audience === undefined || algorithms === undefined) return [];
  const keyLocation =
    url === undefined
      ? ({ kind: "file", path: path ?? "" } as const)
      : ({ kind: "url", url } as const);
  const claims = DEFAULT_CLAIM_NAMES;
  const typ = DEFAULT_TYP;
  return [{ issuer, audience, keyLocation, algorithms, typ, tenants: undefined, claims }];
}
