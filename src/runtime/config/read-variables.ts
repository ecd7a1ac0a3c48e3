/** Reads the variables of a table, and finds every fault at once. */
import { isServiceLink } from "./kubernetes-service-links.js";
import { mustBe, type Variable, type VariableTable } from "./variable.js";

/** Something wrong in the configuration: where, what, and what is allowed. */
export interface ConfigFault {
  /** A variable's name or a location in a file. */
  readonly where: string;
  /** Secrets are masked; undefined: nothing is set. */
  readonly value: string | undefined;
  readonly problem: string;
}

type ValueOf<V> = V extends Variable<infer T> ? T : never;

export type Environment = Readonly<Record<string, string | undefined>>;

const PREFIX = "SEKISHO_";

/** Reads the variables of one program, and collects what is wrong with them. */
export class VariableReader<T extends VariableTable> {
  readonly env: Environment;
  readonly faults: ConfigFault[];
  readonly #table: T;

  /** @param faults those found before, for variables that no program has */
  constructor(table: T, env: Environment, faults: readonly ConfigFault[]) {
    this.#table = table;
    this.env = env;
    this.faults = [...faults];
  }

  /** The variable's value, or its default if it is unset or empty. A value not allowed is a fault. */
  value<N extends keyof T & string>(name: N): ValueOf<T[N]> | undefined;
  value(name: keyof T & string): unknown {
    const variable: Variable<unknown> | undefined = this.#table[name];
    const set = this.env[name] === "" ? undefined : this.env[name];
    const text = set ?? variable?.fallback;
    if (variable === undefined || text === undefined) return undefined;
    const value = variable.parse(text);
    if (value !== undefined) return value;
    this.faults.push({
      where: name,
      value: variable.secret === true ? "***" : maskSecrets(text),
      problem: mustBe(variable, text),
    });
    return undefined;
  }

  /** The same, but a variable that is not set and has no default is a fault too. */
  required<N extends keyof T & string>(name: N): ValueOf<T[N]> | undefined {
    const faultsBefore = this.faults.length;
    const value = this.value(name);
    const variable = this.#table[name];
    if (value === undefined && this.faults.length === faultsBefore && variable !== undefined) {
      const problem = `is not set and has no default: ${variable.meaning} (${variable.allowed})`;
      this.faults.push({ where: name, value: undefined, problem });
    }
    return value;
  }
}

/**
 * Faults for every set variable that begins with `SEKISHO_` and is none of the known ones, but for
 * those that Kubernetes sets by itself.
 */
export function unknownVariables(
  env: Environment,
  known: readonly string[],
): readonly ConfigFault[] {
  return Object.keys(env)
    .filter((name) => name.startsWith(PREFIX) && !known.includes(name))
    .filter((name) => !isServiceLink(name, env[name] ?? ""))
    .sort()
    .map((name) => ({
      where: name,
      value: undefined,
      problem: `is not a variable of Sekisho; did you mean ${nearestName(name, known)}?`,
    }));
}

/**
 * Hides possible secrets in a URL, even in a malformed one: everything between the scheme and the
 * last `@`, and the query, in which Redis clients accept passwords.
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

function nearestName(name: string, names: readonly string[]): string {
  let nearest = "";
  let nearestDistance = Infinity;
  for (const known of names) {
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
