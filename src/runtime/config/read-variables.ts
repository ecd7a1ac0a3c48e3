/** Reads the variables that a program uses, and finds every fault in them at once. */
import { isServiceLink } from "./service-links.js";
import { mustBe, type Variable } from "./variable.js";
import { VARIABLES, type VariableName } from "../../cli/variables.js";

/** Something wrong in the configuration: where, what, and what is allowed. */
export interface ConfigFault {
  /** A variable's name or a place in a file. */
  readonly where: string;
  /** Secrets are masked; undefined: nothing is set. */
  readonly value: string | undefined;
  readonly problem: string;
}

type Parsed<N extends VariableName> = Exclude<
  ReturnType<(typeof VARIABLES)[N]["parse"]>,
  undefined
>;

export type Environment = Readonly<Record<string, string | undefined>>;

const PREFIX = "SEKISHO_";

/**
 * Faults for every set variable that begins with `SEKISHO_` and is none of ours, but for those that
 * Kubernetes sets by itself.
 */
export function unknownVariables(env: Environment): readonly ConfigFault[] {
  return Object.keys(env)
    .filter((name) => name.startsWith(PREFIX) && !Object.hasOwn(VARIABLES, name))
    .filter((name) => !isServiceLink(name, env[name] ?? ""))
    .sort()
    .map((name) => ({
      where: name,
      value: undefined,
      problem: `is not a variable of Sekisho; did you mean ${nearestName(name)}?`,
    }));
}

/** The value of one variable, its default if it is unset or empty; a fault if it is not allowed. */
export function readVariable<N extends VariableName>(
  env: Environment,
  name: N,
  faults: ConfigFault[],
): Parsed<N> | undefined;
export function readVariable(env: Environment, name: VariableName, faults: ConfigFault[]): unknown {
  const variable: Variable<unknown> = VARIABLES[name];
  const { fallback, parse } = variable;
  const set = env[name] === "" ? undefined : env[name];
  const text = set ?? fallback;
  if (text === undefined) return undefined;
  const value = parse(text);
  if (value !== undefined) return value;
  faults.push({
    where: name,
    value: variable.secret === true ? "***" : maskSecrets(text),
    problem: mustBe(variable, text),
  });
  return undefined;
}

/** The same of a variable that is needed: a fault also where it is not set and has no default. */
export function requireVariable<N extends VariableName>(
  env: Environment,
  name: N,
  faults: ConfigFault[],
): Parsed<N> | undefined {
  const faultsBefore = faults.length;
  const value = readVariable(env, name, faults);
  if (value === undefined && faults.length === faultsBefore) {
    const { meaning, allowed } = VARIABLES[name];
    const problem = `is not set and has no default: ${meaning} (${allowed})`;
    faults.push({ where: name, value: undefined, problem });
  }
  return value;
}

/**
 * Hides what may be a secret in a URL, also in one that is written so wrongly that it is none: all
 * before the last `@` but the scheme, and the query, in which Redis clients take passwords.
 */
export function maskSecrets(text: string): string {
  return text.replace(/^([a-z][a-z0-9+.-]*:\/\/)?.*@/is, "$1***@").replace(/\?.*/s, "?***");
}

/** All faults in one message, a line each. */
export function describeFaults(faults: readonly ConfigFault[]): string {
  const count = faults.length === 1 ? "1 fault" : `${faults.length} faults`;
  const lines = faults.map(({ where, value, problem }) =>
    value === undefined ? `  ${where} ${problem}` : `  ${where}="${value}" ${problem}`,
  );
  return [`${count} in the configuration:`, ...lines].join("\n");
}

function nearestName(name: string): string {
  let nearest = "";
  let nearestDistance = Infinity;
  for (const known of Object.keys(VARIABLES)) {
    const distance = editDistance(name, known);
    if (distance < nearestDistance) [nearest, nearestDistance] = [known, distance];
  }
  return nearest;
}

/** Levenshtein's distance, row by row. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const substituted = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min((previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, substituted));
    }
    previous = row;
  }
  return previous[b.length] ?? 0;
}
