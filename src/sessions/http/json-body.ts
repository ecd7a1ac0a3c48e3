import { hasUniqueMembers, isJsonObject } from "../../runtime/json-members.js";
import { BodyError } from "./problem.js";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * A body that has to be a JSON object (RFC 8259) with no member twice, at any depth: parsers differ in
 * which of the two they take, so one before us may have checked another request than we read. An
 * empty body is undefined.
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
