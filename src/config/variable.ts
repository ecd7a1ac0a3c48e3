/** How a variable is described, and the forms that most of them have. */

export interface Variable<T> {
  /** What it is for, in a line. */
  readonly meaning: string;
  /** What may stand in it, in words. */
  readonly allowed: string;
  /** Used when it is unset or empty; undefined: there is none. */
  readonly fallback: string | undefined;
  /** The value, or undefined if it is not allowed. */
  readonly parse: (text: string) => T | undefined;
  /** Must never be shown, not even where it is wrong. */
  readonly secret?: true;
}

export function variable<T>(
  meaning: string,
  allowed: string,
  fallback: string | undefined,
  parse: (text: string) => T | undefined,
): Variable<T> {
  return { meaning, allowed, fallback, parse };
}

export function wholeNumber(
  meaning: string,
  fallback: number,
  min: number,
  max: number,
): Variable<number> {
  return variable(meaning, `a whole number from ${min} to ${max}`, String(fallback), (text) => {
    if (!/^[0-9]{1,15}$/.test(text)) return undefined;
    const value = Number(text);
    return value >= min && value <= max ? value : undefined;
  });
}

export function oneOf<T extends string>(
  meaning: string,
  values: readonly T[],
  fallback: T,
): Variable<T> {
  const find = (text: string): T | undefined => values.find((value) => value === text);
  return variable(meaning, `one of ${values.join(", ")}`, fallback, find);
}

export function url(meaning: string, protocols: readonly string[]): Variable<string> {
  const allowed = `a URL that begins with ${protocols.map((p) => `${p}//`).join(" or ")}`;
  return variable(meaning, allowed, undefined, (text) => {
    const parsed = URL.canParse(text) ? new URL(text) : undefined;
    if (parsed === undefined || parsed.hostname === "") return undefined;
    return protocols.includes(parsed.protocol) ? text : undefined;
  });
}

export function text(meaning: string, allowed: string): Variable<string> {
  return variable(meaning, allowed, undefined, (value) => value);
}
