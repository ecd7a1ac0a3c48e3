import { randomBytes } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { oneTimePassword } from "../../../../src/sessions/passwords/one-time-password.js";
import { passwordFaults } from "../../../../src/sessions/passwords/password-rules.js";

describe("a one-time password", () => {
  it("is six groups of four characters, none of which is taken for another", () => {
    for (let i = 0; i < 200; i++) {
      expect(oneTimePassword(randomBytes)).toMatch(/^[2-9A-HJ-NP-Z]{4}(-[2-9A-HJ-NP-Z]{4}){5}$/);
    }
  });

  it("is made of nothing but the randomness that it is given, five bits for each character", () => {
    const asked: number[] = [];
    const counting = (size: number) => {
      asked.push(size);
      return Uint8Array.from({ length: size }, (_, i) => i);
    };
    expect(oneTimePassword(counting)).toBe("2345-6789-ABCD-EFGH-JKLM-NPQR");
    expect(asked).toEqual([24]);
    expect(asked.reduce((sum, size) => sum + 5 * size, 0)).toBeGreaterThanOrEqual(100);
  });

  it("uses every character equally often", () => {
    const counts = new Map<string, number>();
    const each = Array.from({ length: 256 }, (_, byte) => byte);
    for (const byte of each) {
      const [character = ""] = oneTimePassword((size) => new Uint8Array(size).fill(byte));
      counts.set(character, (counts.get(character) ?? 0) + 1);
    }
    expect(counts.size).toBe(32);
    expect(new Set(counts.values())).toEqual(new Set([8]));
  });

  it("is a password that may be set", () => {
    const owner = { login: "root", userId: "root" };
    expect(passwordFaults(oneTimePassword(randomBytes), owner)).toEqual([]);
  });
});
