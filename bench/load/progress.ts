export interface ProgressOutput {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** A line that changes while a person looks at it; elsewhere only what is done is printed. */
export class Progress {
  readonly #output: ProgressOutput;
  #shown = false;

  constructor(output: ProgressOutput) {
    this.#output = output;
  }

  doing(text: string): void {
    if (this.#output.isTTY !== true) return;
    this.#output.write(`\r  ${text}\u001b[K`);
    this.#shown = true;
  }

  done(text: string): void {
    this.clear();
    this.#output.write(`  ${text}\n`);
  }

  clear(): void {
    if (this.#shown) this.#output.write("\r\u001b[K");
    this.#shown = false;
  }
}
