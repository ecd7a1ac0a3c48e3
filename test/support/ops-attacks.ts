/** What can be done to an ops port without any credential. */
import { attackedPort, renewed } from "./port-attacks.js";
import type { Attack } from "./steady-checks.js";

/** About what a server reads from a connection at once. */
const PIPELINED = 1800;
const DRIP_MS = 50;

/** `connections` that each ask for the page 1,800 times at once and read nothing. */
export function pipelines(opsUrl: string, connections: number, page: string): Attack {
  const requests = Buffer.from(`GET ${page} HTTP/1.1\r\nHost: a\r\n\r\n`.repeat(PIPELINED));
  return renewed(attackedPort(opsUrl), connections, (socket) => {
    socket.pause();
    socket.write(requests);
  });
}

/** Connections that say nothing, and come back when they are closed. */
export function idleSockets(opsUrl: string, connections: number): Attack {
  const target = attackedPort(opsUrl);
  return renewed(target, connections, (socket) => socket.resume(), "when closed");
}

/** Connections that ask once and never read. */
export function slowReaders(opsUrl: string, connections: number): Attack {
  return renewed(attackedPort(opsUrl), connections, (socket) => {
    socket.pause();
    socket.write("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
  });
}

/** Connections whose request comes a byte at a time. */
export function slowWriters(opsUrl: string, connections: number): Attack {
  return renewed(
    attackedPort(opsUrl),
    connections,
    (socket) => {
      socket.resume();
      const drip = setInterval(() => socket.write("G"), DRIP_MS);
      socket.once("close", () => clearInterval(drip));
    },
    "when closed",
  );
}
