/** Not a text if it was sent more than once or cannot be decoded. */
export type QueryValue = string | null | readonly (string | null)[];

/**
 * A query's parameters, decoded once (`+` is a space). A value that cannot be decoded is null,
 * never text with replacement characters: an id must not become another id.
 */
export function parseQuery(query: string): Record<string, QueryValue> {
  const values = new Map<string, (string | null)[]>();
  for (const pair of query.split("&")) {
    if (pair === "") continue;
    const [name = "", ...rest] = pair.split("=");
    // A name that cannot be decoded is an unknown field either way.
    const key = decoded(name) ?? name;
    values.set(key, [...(values.get(key) ?? []), decoded(rest.join("="))]);
  }
  const entries = [...values].map(([name, all]): [string, QueryValue] => {
    const [first = null, ...others] = all;
    return [name, others.length === 0 ? first : all];
  });
  return Object.fromEntries(entries);
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return null;
  }
}
