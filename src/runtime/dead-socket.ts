/** A killed process leaves its Unix socket behind, which stops the next one from listening. */
import { lstatSync, rmSync } from "node:fs";
import { connect } from "node:net";
import type { ListenAddress } from "./listen-address.js";

/**
 * Removes the socket at `address` if no process listens on it. One that merely cannot be reached (its
 * queue is full, it belongs to another user) stays, and so does a file that is no socket.
 */
export async function removeDeadSocket(address: ListenAddress): Promise<void> {
  if (address.kind !== "unix") return;
  const { path } = address;
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return;
  const dead = await new Promise<boolean>((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(false);
    });
    probe.once("error", (error: NodeJS.ErrnoException) => resolve(error.code === "ECONNREFUSED"));
  });
  if (dead) rmSync(path, { force: true });
}
