/** Connections that a port without credentials has to bear: held, dripped, flooded, and opened anew. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { Attack } from "./steady-checks.js";

/** Within this, attackers open each of their connections anew, one after the other. */
const RENEW_MS = 1000;

export interface AttackedPort {
  readonly host: string;
  readonly port: number;
}

/** `HOST:PORT`, or the URL of an ops port. */
export function attackedPort(address: string): AttackedPort {
  const { hostname, port } = new URL(address.includes("://") ? address : `tcp://${address}`);
  return { host: hostname, port: Number(port) };
}

/**
 * @param attack what each connection does, called before it is connected
 * @param when "when closed" opens a connection anew once the server has ended it
 */
export function renewed(
  target: AttackedPort,
  connections: number,
  attack: (socket: Socket) => void,
  when: "each time" | "when closed" = "each time",
): Attack {
  const open = (): Socket => {
    const socket = connect(target);
    // What the server does about it is its matter.
    socket.on("error", () => undefined);
    attack(socket);
    return socket;
  };
  return {
    begin: async () => {
      const sockets = Array.from({ length: connections }, open);
      await Promise.all(
        sockets.map((socket) => Promise.race([once(socket, "connect"), once(socket, "close")])),
      );
      let next = 0;
      const renewing = setInterval(() => {
        next = (next + 1) % connections;
        if (when === "when closed" && sockets[next]?.closed !== true) return;
        sockets[next]?.destroy();
        sockets[next] = open();
      }, RENEW_MS / connections);
      return () => {
        clearInterval(renewing);
        for (const socket of sockets) socket.destroy();
      };
    },
  };
}
