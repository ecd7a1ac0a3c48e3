/** How deep objects and arrays of a JSON text may be nested. No known token needs more than a few. */
export const JSON_DEPTH_MAX = 32;

/** A JSON object. Read members with `Object.hasOwn` or `ownMember`: others may be inherited. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** The object's own member, so that a name such as `toString` finds nothing inherited. */
export function ownMember(object: JsonObject, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

/**
 * Reads a JSON text that must be an object, without duplicate members at any depth and nested at
 * most `JSON_DEPTH_MAX` deep. Of two members with one name parsers keep the first, the last, or
 * fail (RFC 8259, section 4), so a second reader of the same token could see other claims; RFC 7515,
 * section 4 and RFC 7519, section 4 let us refuse it.
 *
 * A member called `__proto__` becomes an own property like any other and changes no prototype.
 */
export function parseJsonObject(text: string): JsonObject | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isJsonObject(parsed) || !hasUniqueMembers(text)) return undefined;
  return parsed;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Whether no object in the text has two members of one name, compared after unescaping, and
 * nothing is nested deeper than `JSON_DEPTH_MAX`.
 *
 * @param text must be what `JSON.parse` accepts: the scan relies on its grammar. Within it a string
 * is a member name exactly where it is the first string after `{`, or after `,` inside an object.
 */
export function hasUniqueMembers(text: string): boolean {
  // One element per open object or array: the names seen in an object, undefined for an array.
  const open: (Set<string> | undefined)[] = [];
  let nameIsNext = false;
  for (let at = 0; at < text.length; at += 1) {
    switch (text[at]) {
      case "{":
      case "[":
        if (open.length === JSON_DEPTH_MAX) return false;
        nameIsNext = text[at] === "{";
        open.push(nameIsNext ? new Set() : undefined);
        break;
      case "}":
      case "]":
        open.pop();
        nameIsNext = false;
        break;
      case ",":
        nameIsNext = open.at(-1) !== undefined;
        break;
      case '"': {
        const end = endOfString(text, at);
        const names = open.at(-1);
        if (nameIsNext && names !== undefined) {
          const name = unescaped(text.slice(at, end + 1));
          if (names.has(name)) return false;
          names.add(name);
          nameIsNext = false;
        }
        at = end;
        break;
      }
      default:
    }
  }
  return true;
}

/** The index of the quotation mark that ends the string which starts at `start`. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at;
}

/** The value of a quoted JSON string. */
function unescaped(quoted: string): string {
  if (!quoted.includes("\\")) return quoted.slice(1, -1);
  const text: unknown = JSON.parse(quoted);
  return typeof text === "string" ? text : quoted;
}
