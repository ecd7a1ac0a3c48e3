/**
 * The methods of each path, to tell a wrong method from a wrong path (RFC 9110, section 15.5.6).
 */
export class KnownPaths {
  readonly #routes: { readonly method: string; readonly parts: readonly string[] }[] = [];

  /** `pattern`: Fastify's, with `:name` for any segment and `*` for any remainder. */
  add(method: string, pattern: string): void {
    this.#routes.push({ method, parts: pattern.split("/") });
  }

  /** Sorted; empty for an unknown path. */
  methodsOf(path: string): readonly string[] {
    const asked = path.split("/");
    const methods = this.#routes
      .filter(({ parts }) => fits(parts, asked))
      .map(({ method }) => method);
    return [...new Set(methods)].sort();
  }
}

function fits(parts: readonly string[], asked: readonly string[]): boolean {
  if (parts.at(-1) !== "*" && parts.length !== asked.length) return false;
  return parts.every(
    (part, at) => part === "*" || part === asked[at] || (part.startsWith(":") && asked[at] !== ""),
  );
}
