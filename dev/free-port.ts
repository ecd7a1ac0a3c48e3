import { createServer } from "node:net";

/**
 * A TCP port of the loopback interface that was free a moment ago. Another process can take it before
 * it is used, so this is only for programs that cannot bind port 0 and report the port; callers retry
 * with another one.
 */
export async function takeFreePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen({ host: "127.0.0.1", port: 0 }, () => {
      const address = server.address();
      server.close(() => {
        if (address === null || typeof address === "string") reject(new Error("no TCP address"));
        else resolve(address.port);
      });
    });
  });
}
