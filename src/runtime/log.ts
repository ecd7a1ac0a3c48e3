/** Logs are JSON lines on standard output (pino). Tokens and secrets never reach them. */
import { pino, type Logger } from "pino";
import { LineWriter, nonBlockingStandardOutput } from "./line-writer.js";

export type { Logger };

/** The bound on lines that wait to be written; further ones are dropped. */
const BUFFER_MAX_BYTES = 8 * 1024 * 1024;
/** Short, because a process has ten seconds to end. */
const FLUSH_MAX_MS = 500;

export interface ProgramLog {
  readonly log: Logger;
  /** Writes what is still buffered, unless standard output takes nothing for half a second. */
  readonly flush: () => void;
}

export function openLog(level: string, fields: Record<string, string>): ProgramLog {
  const writer = new LineWriter(nonBlockingStandardOutput(), { bufferMaxBytes: BUFFER_MAX_BYTES });
  const log = pino(
    {
      level,
      base: fields,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    writer,
  );
  return { log, flush: () => writer.flush(FLUSH_MAX_MS) };
}
