/** What can be done to an ops port without any credential. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { Attack } from "./steady-checks.js";

/** About what a server reads from a connection at once. */
const PIPELINED = 1800;
/** Within this, attackers open each of their connections anew, one after the other. */
const RENEW_MS = 1000;
const DRIP_MS = 50;

/** `connections` that each ask for the page 1,800 times at once and read nothing. */
export function pipelines(opsUrl: string, connections: number, page: string): Attack {
  const requests = Buffer.from(`GET ${page} HTTP/1.1\r\nHost: a\r\n\r\n`.repeat(PIPELINED));
  return renewed(opsUrl, connections, (socket) => {
    socket.pause();
    socket.write(requests);
  });
}

/** Connections that say nothing, and come back when they are closed. */
export function idleSockets(opsUrl: string, connections: number): Attack {
  return renewed(opsUrl, connections, (socket) => socket.resume(), "when closed");
}

/** Connections that ask once and never read. */
export function slowReaders(opsUrl: string, connections: number): Attack {
  return renewed(opsUrl, connections, (socket) => {
    socket.pause();
    socket.write("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
  });
}

/** Connections whose request comes a byte at a time. */
export function slowWriters(opsUrl: string, connections: number): Attack {
  return renewed(
    opsUrl,
    connections,
    (socket) => {
      socket.resume();
      const drip = setInterval(() => socket.write("G"), DRIP_MS);
      socket.once("close", () => clearInterval(drip));
    },
    "when closed",
  );
}

function renewed(
  opsUrl: string,
  connections: number,
  attack: (socket: Socket) => void,
  when: "each time" | "when closed" = "each time",
): Attack {
  const { hostname, port } = new URL(opsUrl);
  const open = (): Socket => {
    const socket = connect({ host: hostname, port: Number(port) });
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
