import { styleText } from "node:util";

type Style = Parameters<typeof styleText>[0];

/** What a step expected, and what it got instead. */
export class UnexpectedResult extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UnexpectedResult";
  }
}

export interface Output {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** Prints the demo's output: chapters, what was checked in them, and times in columns. */
export class Account {
  readonly #output: Output;
  readonly #coloured: boolean;

  /** Colours only on a terminal, and not if NO_COLOR is set (no-color.org). */
  constructor(output: Output, environment: NodeJS.ProcessEnv) {
    this.#output = output;
    this.#coloured = output.isTTY === true && (environment["NO_COLOR"] ?? "") === "";
  }

  chapter(title: string): void {
    this.#output.write(`\n${this.#style("bold", title)}\n`);
  }

  /** Something begins that takes a moment. */
  doing(text: string): void {
    this.#output.write(`  ${this.#style("dim", `… ${text}`)}\n`);
  }

  /** Something was checked, with the expected result. */
  seen(text: string): void {
    this.#output.write(`  ${this.#style("green", "✓")} ${text}\n`);
  }

  failed(text: string): void {
    this.#output.write(`  ${this.#style("red", "✗")} ${text.replaceAll("\n", "\n    ")}\n`);
  }

  line(text = ""): void {
    this.#output.write(text === "" ? "\n" : `  ${text}\n`);
  }

  /** A request to the session service. */
  request(text: string): void {
    this.#output.write(`  ${this.#style("dim", `→ ${text}`)}\n`);
  }

  /** The first column is aligned left, the others right, for numbers. */
  table(rows: readonly (readonly string[])[], others: Side = "right"): void {
    for (const line of alignColumns(rows, others)) this.line(`  ${line}`);
  }

  #style(style: Style, text: string): string {
    // Whether the output takes colours was decided once, for this output.
    return this.#coloured ? styleText(style, text, { validateStream: false }) : text;
  }
}

type Side = "left" | "right";

/** Pads the cells into columns; all but the first are aligned to this side. */
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
