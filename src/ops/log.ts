/** Logs are JSON lines on standard output (pino). Tokens and secrets never reach them. */
import { pino, type Logger } from "pino";

export type { Logger };

/** Lines that could not be written yet are kept up to here; beyond it the oldest are dropped. */
const BUFFER_MAX_BYTES = 8 * 1024 * 1024;

export interface ProgramLog {
  readonly log: Logger;
  /** Writes what is still buffered. */
  readonly flush: () => void;
}

export function openLog(level: string, fields: Record<string, string>): ProgramLog {
  const destination = pino.destination({ dest: 1, sync: false, maxLength: BUFFER_MAX_BYTES });
  // Nobody reads any more (a closed pipe): losing log lines must not end the checks.
  destination.on("error", () => undefined);
  const log = pino(
    {
      level,
      base: fields,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  return {
    log,
    flush: () => {
      try {
        destination.flushSync();
      } catch {
        // The destination never became ready or is gone: there is nobody to tell.
      }
    },
  };
}
