/**
 * A document's commands and the answers that it shows for them.
 *
 * A block marked `sh` is run; the block after it, marked `json` or `text`, is what it prints. One
 * without such a block prints nothing. `<!-- test: … -->` says what happens before a block.
 */
import { isDeepStrictEqual } from "node:util";

export interface DocumentedStep {
  /** Of the block's first command, in the document. */
  readonly line: number;
  readonly commands: string;
  /** undefined: it prints nothing. */
  readonly answer: { readonly language: "json" | "text"; readonly text: string } | undefined;
  /** What the document wants to have happened before, in its own words. */
  readonly before: readonly string[];
}

interface Block {
  readonly language: string;
  readonly line: number;
  readonly text: string;
}

/** @throws Error for a block that is not closed, or an answer without a command */
export function documentedSteps(document: string): readonly DocumentedStep[] {
  const steps: DocumentedStep[] = [];
  let before: string[] = [];
  for (const part of partsOf(document)) {
    if (typeof part === "string") {
      before.push(part);
    } else if (part.language === "sh") {
      steps.push({ line: part.line, commands: part.text, answer: undefined, before });
      before = [];
    } else {
      const last = steps.pop();
      if (last?.answer !== undefined || last === undefined) {
        throw new Error(`line ${part.line}: an answer without a command before it`);
      }
      const language = part.language === "json" ? "json" : "text";
      steps.push({ ...last, answer: { language, text: part.text } });
    }
  }
  return steps;
}

function partsOf(document: string): readonly (Block | string)[] {
  const parts: (Block | string)[] = [];
  let open: { language: string; line: number; lines: string[] } | undefined;
  document.split("\n").forEach((line, index) => {
    if (open === undefined) {
      const [, told] = /^<!-- test: (.+) -->$/.exec(line) ?? [];
      if (told !== undefined) parts.push(told);
      const [, language] = /^ *```([a-z]+)$/.exec(line) ?? [];
      if (language !== undefined) open = { language, line: index + 2, lines: [] };
    } else if (/^ *```$/.test(line)) {
      const { lines, ...block } = open;
      if (["sh", "json", "text"].includes(block.language)) {
        parts.push({ ...block, text: lines.join("\n") });
      }
      open = undefined;
    } else {
      open.lines.push(line);
    }
  });
  if (open !== undefined) throw new Error(`the block in line ${open.line} is not closed`);
  return parts;
}

/** Whether something printed is what the document shows; `…` stands for anything but nothing. */
export function isAsDocumented(answer: DocumentedStep["answer"], printed: string): boolean {
  if (answer === undefined) return printed === "";
  if (answer.language === "text") return matches(answer.text.trimEnd(), printed.trimEnd());
  try {
    return fits(parseShown(answer.text), JSON.parse(printed));
  } catch {
    return false;
  }
}

/** JSON in which `…` may also stand where a value does. */
function parseShown(text: string): unknown {
  return JSON.parse(text.replaceAll(/: …(?=[ ,\n}])/g, ': "…"'));
}

/** All members are told, and no other; arrays are told in full. */
function fits(shown: unknown, seen: unknown): boolean {
  if (shown === "…") return seen !== "" && seen !== undefined;
  if (typeof shown === "string") return typeof seen === "string" && matches(shown, seen);
  if (Array.isArray(shown)) {
    return (
      Array.isArray(seen) &&
      shown.length === seen.length &&
      shown.every((one, index) => fits(one, seen[index]))
    );
  }
  if (!isObject(shown)) return isDeepStrictEqual(shown, seen);
  if (!isObject(seen)) return false;
  const names = Object.keys(shown);
  return (
    names.length === Object.keys(seen).length &&
    names.every((name) => fits(shown[name], seen[name]))
  );
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function matches(shown: string, seen: string): boolean {
  const pattern = shown
    .split("…")
    .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"))
    .join(".+");
  return new RegExp(`^${pattern}$`, "s").test(seen);
}
