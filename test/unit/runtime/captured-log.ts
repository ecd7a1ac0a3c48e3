import { pino } from "pino";
import type { Logger } from "../../../src/runtime/log.js";

/** A log whose lines are kept. */
export function captureLog(): { readonly log: Logger; readonly lines: readonly string[] } {
  const lines: string[] = [];
  return { log: pino({ level: "info" }, { write: (line: string) => lines.push(line) }), lines };
}
