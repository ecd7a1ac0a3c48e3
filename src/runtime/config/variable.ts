/** How a variable is described, and the forms that most of them have. */
import type { UrlFault } from "./connection-url.js";

export interface Variable<T> {
  /** What it is for, in a line. */
  readonly meaning: string;
  /** The values that it may have, in words. */
  readonly allowed: string;
  /** Used when it is unset or empty; undefined: there is none. */
  readonly fallback: string | undefined;
  /** The value, or undefined if it is not allowed. */
  readonly parse: (text: string) => T | undefined;
  /** More about what is wrong with a value, where known; shows no secrets. */
  readonly explain?: (text: string) => string | undefined;
  /** Never shown, not even where the value is wrong. */
  readonly secret?: true;
}

export type VariableTable = Readonly<Record<string, Variable<unknown>>>;

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

/** Surrounding white space, such as a file's last line break, is dropped. */
export function url(
  meaning: string,
  allowed: string,
  faultOf: (text: string) => UrlFault | undefined,
): Variable<string> {
  const parse = (text: string) => (faultOf(text.trim()) === undefined ? text.trim() : undefined);
  const explain = (text: string) => faultOf(text.trim())?.detail;
  return { ...variable(meaning, allowed, undefined, parse), explain };
}

/** What a value must be, and what is wrong with this one where that is known. */
export function mustBe<T>({ allowed, explain }: Variable<T>, text: string): string {
  const detail = explain?.(text);
  return detail === undefined ? `must be ${allowed}` : `must be ${allowed}: ${detail}`;
}

export function text(meaning: string, allowed: string): Variable<string> {
  return variable(meaning, allowed, undefined, (value) => value);
}

export const HTTP_URL = "a URL that begins with https:// or http://";

export function passwordFile(urlName: string): Variable<string> {
  return text(`a file with the password for ${urlName}, which then holds none`, "a path");
}
