import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import { setTimeout } from "node:timers/promises";

/** How often a run that waits for another's set-up tries again. */
const POLL_MS = 200;

/**
 * Waits until no other run sets up the same checkout, because `npm ci` and the build in the same
 * folders at the same time would break each other. The lock is a listener on an abstract Unix socket,
 * which the kernel removes with its process, so a killed run never blocks a later one. Only Linux has
 * such sockets; elsewhere the user has to avoid concurrent runs.
 * @param {object} context
 * @param {string} context.root the checkout
 * @param {AbortSignal} context.stop
 * @param {() => void} onWait called once if another run holds it
 * @returns {Promise<() => void>} releases the lock
 */
export async function takeSetUpTurn({ root, stop }, onWait) {
  if (process.platform !== "linux") return () => {};
  const name = `\0sekisho-set-up-${createHash("sha256").update(root).digest("hex")}`;
  for (let waits = 0; ; waits += 1) {
    stop.throwIfAborted();
    const listener = await listenOn(name);
    if (listener !== undefined) return () => listener.close();
    if (waits === 0) onWait();
    await setTimeout(POLL_MS);
  }
}

/** Undefined while another process has the name. */
async function listenOn(name) {
  const listener = createServer((connection) => connection.destroy());
  listener.unref();
  listener.listen(name);
  try {
    await once(listener, "listening");
    return listener;
  } catch (error) {
    if (error.code !== "EADDRINUSE") throw error;
    return undefined;
  }
}
