import { hasUniqueMembers, isJsonObject } from "../../runtime/json-members.js";
import { BodyError } from "./problem.js";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * A body that must be a JSON object (RFC 8259) without duplicate members at any depth. Parsers
 * differ in which duplicate they take, so a proxy may have checked another request than the one
 * read here. An empty body is undefined.
 *
 * @throws BodyError
 */
export function parseJsonBody(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  if (bytes.length === 0) return undefined;
  const { text, value } = parsed(bytes);
  if (!isJsonObject(value)) throw new BodyError("must be a JSON object");
  if (!hasUniqueMembers(text)) {
    throw new BodyError("has a member twice, or is nested too deeply");
  }
  return value;
}

function parsed(bytes: Uint8Array): { readonly text: string; readonly value: unknown } {
  try {
    const text = utf8.decode(bytes);
    return { text, value: JSON.parse(text) };
  } catch {
    throw new BodyError("is not JSON in UTF-8");
  }
}
