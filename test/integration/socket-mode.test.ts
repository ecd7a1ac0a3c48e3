import { once } from "node:events";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { withSocketMode } from "../../src/runtime/socket-mode.js";

let folder: string;
let server: Server;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sekisho-socket-mode-"));
  server = createServer();
});
afterEach(async () => {
  if (server.listening) await once(server.close(), "close");
  rmSync(folder, { recursive: true, force: true });
});

const modeOf = (path: string): number => statSync(path).mode & 0o777;

/** The widest umask, so that nothing is closed by chance. */
let umask: number;
beforeEach(() => {
  umask = process.umask(0);
});
afterEach(() => {
  process.umask(umask);
});

/** Leaves the widest one again. */
const currentUmask = (): number => process.umask(0);

describe("a Unix socket", () => {
  test.each([0o600, 0o660, 0o666, 0o777])(
    "has the mode %d, and is its owner's alone before",
    async (mode) => {
      const path = join(folder, "a.sock");
      await withSocketMode({ kind: "unix", path }, mode, async () => {
        server.listen(path);
        expect(modeOf(path)).toBe(0o700);
        await once(server, "listening");
      });
      expect(modeOf(path)).toBe(mode);
      expect(currentUmask()).toBe(0);
    },
  );

  test("that cannot be had leaves the umask as it was", async () => {
    const path = join(folder, "a.sock");
    const listening = withSocketMode({ kind: "unix", path }, 0o600, () =>
      Promise.reject(new Error("taken")),
    );
    await expect(listening).rejects.toThrow("taken");
    expect(currentUmask()).toBe(0);
  });
});

test("a port has no mode", async () => {
  const address = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;
  const listening = withSocketMode(address, 0o600, () => Promise.resolve(currentUmask()));
  expect(await listening).toBe(0);
});
