/** Who may connect to a Unix socket: on Linux, every user that may write to it. */
import { chmodSync } from "node:fs";
import type { ListenAddress } from "./listen-address.js";

const OWNER_ALONE = 0o077;

/**
 * Listens, and gives a Unix socket this mode. Until then only its owner can use it: it is bound under
 * a strict umask, which also applies to anything else that the process creates meanwhile.
 */
export async function withSocketMode<T>(
  address: ListenAddress,
  mode: number,
  listen: () => Promise<T>,
): Promise<T> {
  if (address.kind !== "unix") return listen();
  const before = process.umask(OWNER_ALONE);
  try {
    const listening = await listen();
    chmodSync(address.path, mode);
    return listening;
  } finally {
    process.umask(before);
  }
}
