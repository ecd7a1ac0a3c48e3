/** Which methods a path has, to tell a wrong method from a wrong path (RFC 9110, section 15.5.6). */
export class KnownPaths {
  readonly #routes: { readonly method: string; readonly parts: readonly string[] }[] = [];

  /** `pattern`: as Fastify writes it, `:name` for any part and `*` for any rest. */
  add(method: string, pattern: string): void {
    this.#routes.push({ method, parts: pattern.split("/") });
  }

  /** Sorted; empty for a path that there is not. */
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
