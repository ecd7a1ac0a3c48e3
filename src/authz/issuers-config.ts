/** Whose tokens are accepted: one issuer from variables, or several from a YAML file. */
import { DEFAULT_CLAIM_NAMES, type Issuer } from "../tokens/issuer.js";
import { DEFAULT_TYP, readIssuersFile } from "./issuers-file.js";
import {
  maskSecrets,
  readVariable,
  requireVariable,
  type ConfigFault,
  type Environment,
} from "../runtime/config/read-variables.js";
import { VARIABLES, type VariableName } from "../cli/variables.js";

/** The variables that describe a sole issuer, and therefore exclude a file. */
const SOLE_ISSUER = [
  "SEKISHO_ISSUER",
  "SEKISHO_AUDIENCE",
  "SEKISHO_JWKS_URL",
  "SEKISHO_JWKS_FILE",
  "SEKISHO_ALGORITHMS",
] as const satisfies readonly VariableName[];

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
  const issuer = requireVariable(env, "SEKISHO_ISSUER", faults);
  const audience = requireVariable(env, "SEKISHO_AUDIENCE", faults);
  const faultsBefore = faults.length;
  const url = readVariable(env, "SEKISHO_JWKS_URL", faults);
  const path = readVariable(env, "SEKISHO_JWKS_FILE", faults);
  if (url === undefined && path === undefined && faults.length === faultsBefore) {
    const { meaning } = VARIABLES.SEKISHO_JWKS_URL;
    const problem = `is not set, nor is SEKISHO_JWKS_FILE: ${meaning}`;
    faults.push({ where: "SEKISHO_JWKS_URL", value: undefined, problem });
  }
  if (url !== undefined && path !== undefined) {
    const problem = "is set beside SEKISHO_JWKS_URL: keys come from one place";
    faults.push({ where: "SEKISHO_JWKS_FILE", value: path, problem });
  }
  const algorithms = readVariable(env, "SEKISHO_ALGORITHMS", faults);
  if (issuer === undefined || audience === undefined || algorithms === undefined) return [];
  const keyLocation =
    url === undefined
      ? ({ kind: "file", path: path ?? "" } as const)
      : ({ kind: "url", url } as const);
  const claims = DEFAULT_CLAIM_NAMES;
  const typ = DEFAULT_TYP;
  return [{ issuer, audience, keyLocation, algorithms, typ, tenants: undefined, claims }];
}
