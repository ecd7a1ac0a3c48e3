/** Every variable that Sekisho's programs, commands and scripts read, in one table. */
import { AUTHZ_VARIABLES } from "../authz/authz-variables.js";
import { COMMON_VARIABLES } from "../runtime/config/common-variables.js";
import { faultOfServiceUrl } from "../runtime/config/connection-url.js";
import {
  unknownVariables,
  type ConfigFault,
  type Environment,
} from "../runtime/config/read-variables.js";
import { HTTP_URL, text, url, variable } from "../runtime/config/variable.js";
import { SESSIONS_VARIABLES } from "../sessions/sessions-variables.js";

/** Of the operators' commands. */
export const COMMAND_VARIABLES = {
  ...COMMON_VARIABLES,
  SEKISHO_SESSIONS_URL: url(
    "the session service that `sekisho revoke` and `nodes` go through",
    HTTP_URL,
    faultOfServiceUrl,
  ),
  SEKISHO_SESSIONS_TOKEN: {
    ...variable(
      "the administrator's access token for it",
      "an access token, in one line without spaces",
      undefined,
      (value) => (/^[\x21-\x7e]+$/.test(value.trim()) ? value.trim() : undefined),
    ),
    secret: true as const,
  },
} as const;

/** Read by demo, tests and benchmark. */
export const SCRIPT_VARIABLES = {
  SEKISHO_ENVOY: text("the Envoy to use in the demo, tests and benchmark", "a path"),
  SEKISHO_POSTGRES: text(
    "the folder of PostgreSQL's programs (initdb, postgres) to use in tests and benchmark",
    "a path",
  ),
} as const;

export const VARIABLES = {
  ...AUTHZ_VARIABLES,
  ...SESSIONS_VARIABLES,
  ...COMMAND_VARIABLES,
  ...SCRIPT_VARIABLES,
} as const;

export type VariableName = keyof typeof VARIABLES;

/** Faults for every unknown `SEKISHO_` variable. */
export function faultsOfNames(env: Environment): readonly ConfigFault[] {
  return unknownVariables(env, Object.keys(VARIABLES));
}
