import { styleText } from "node:util";

type Style = Parameters<typeof styleText>[0];

/** What a step promised and what came instead. */
export class NotAsTold extends Error {
  constructor(message: string) {
    super(message);
    this.name = "NotAsTold";
  }
}

export interface Output {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** Prints the demo's account: chapters, what was seen in them, and times in columns. */
export class Account {
  readonly #output: Output;
  readonly #coloured: boolean;

  /** Colours only where a person looks, and not where NO_COLOR asks for none (no-color.org). */
  constructor(output: Output, environment: NodeJS.ProcessEnv) {
    this.#output = output;
    this.#coloured = output.isTTY === true && (environment["NO_COLOR"] ?? "") === "";
  }

  chapter(title: string): void {
    this.#output.write(`\n${this.#style("bold", title)}\n`);
  }

  /** Something that takes a moment and begins now. */
  doing(text: string): void {
    this.#output.write(`  ${this.#style("dim", `… ${text}`)}\n`);
  }

  /** Something that was checked and came out as told. */
  seen(text: string): void {
    this.#output.write(`  ${this.#style("green", "✓")} ${text}\n`);
  }

  failed(text: string): void {
    this.#output.write(`  ${this.#style("red", "✗")} ${text.replaceAll("\n", "\n    ")}\n`);
  }

  line(text = ""): void {
    this.#output.write(text === "" ? "\n" : `  ${text}\n`);
  }

  /** What the session service is asked, as HTTP has it. */
  request(text: string): void {
    this.#output.write(`  ${this.#style("dim", `→ ${text}`)}\n`);
  }

  /** The first column to the left, the others to the right, where numbers stand. */
  table(rows: readonly (readonly string[])[], others: Side = "right"): void {
    for (const line of alignColumns(rows, others)) this.line(`  ${line}`);
  }

  #style(style: Style, text: string): string {
    // Whether the output takes colours was decided once, for this output.
    return this.#coloured ? styleText(style, text, { validateStream: false }) : text;
  }
}

type Side = "left" | "right";

/** Pads the cells so that columns stand below each other; all but the first to this side. */
export function alignColumns(
  rows: readonly (readonly string[])[],
  others: Side = "right",
): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, cell.length)));
  }
  return rows.map((row) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return column === 0 || others === "left" ? cell.padEnd(width) : cell.padStart(width);
      })
      .join("   ")
      .trimEnd(),
  );
}

export function milliseconds(value: number): string {
  return `${value.toFixed(1)} ms`;
}
