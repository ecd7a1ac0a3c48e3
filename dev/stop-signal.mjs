import { constants } from "node:os";

import { SetUpFault } from "./set-up-fault.mjs";

/** Ctrl-C, an orderly stop, and a terminal window that was closed. */
const STOP_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"];

/**
 * Calls `listener` with the name of every stop signal, instead of being ended by it.
 * @param {(signal: NodeJS.Signals) => void} listener
 * @returns {() => void} ends the listening
 */
export function listenForStop(listener) {
  for (const signal of STOP_SIGNALS) process.on(signal, listener);
  return () => {
    for (const signal of STOP_SIGNALS) process.off(signal, listener);
  };
}

/**
 * The exit code with which shells report that a signal ended a program.
 * @param {NodeJS.Signals} signal
 */
export function exitCodeOfSignal(signal) {
  return 128 + constants.signals[signal];
}

/**
 * Runs `work` with an AbortSignal that a stop signal aborts, so that a step in progress can end its
 * command and remove what it had begun before this process ends.
 * @template T
 * @param {(stop: AbortSignal) => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function stoppable(work) {
  const controller = new AbortController();
  const unlisten = listenForStop((signal) => {
    controller.abort(new SetUpFault(`stopped by ${signal}`, exitCodeOfSignal(signal)));
  });
  try {
    return await work(controller.signal);
  } finally {
    unlisten();
  }
}
