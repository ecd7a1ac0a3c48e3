import { formatListenAddress, type ListenAddress } from "./listen-address.js";

/** Throws an error with the address and the likely cause. */
export function cannotListen(variable: string, address: ListenAddress): (error: unknown) => never {
  return (error) => {
    const reason = error instanceof Error ? error.message : String(error);
    const advice = reason.includes("EADDRINUSE")
      ? "Another process is there: end it, or choose another address."
      : "Is that an address of this machine, and may this user listen there?";
    const where = `${variable}=${formatListenAddress(address)}`;
    throw new Error(`cannot listen on ${where}: ${reason}\n${advice}`, { cause: error });
  };
}
