import { randomBytes } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import {
  type KeySecrets,
  openPrivateKey,
  requireSecrets,
  sealPrivateKey,
} from "../../../../src/sessions/keys/key-encryption.js";
import { SigningKeyError } from "../../../../src/sessions/keys/signing-key-error.js";

const secret = randomBytes(32);
const other = randomBytes(32);
const name = { kid: "key-1", algorithm: "ES256" };
const PRIVATE = "-----BEGIN PRIVATE KEY-----\nthis is one\n-----END PRIVATE KEY-----\n";
const sealed = sealPrivateKey(PRIVATE, name, secret);

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof SigningKeyError) return error.code;
    throw error;
  }
  return "none";
}

describe("a sealed private key", () => {
  test("opens with its secret", () => {
    expect(openPrivateKey(sealed, name, { secret })).toEqual({
      privateKey: PRIVATE,
      outdated: false,
    });
  });

  test("shows nothing of itself, and never looks the same twice", () => {
    expect(Buffer.from(sealed).toString("latin1")).not.toContain("PRIVATE");
    expect(sealPrivateKey(PRIVATE, name, secret)).not.toEqual(sealed);
  });

  test("does not open with another secret, and the message says what to set", () => {
    const open = () => openPrivateKey(sealed, name, { secret: other });
    expect(codeOf(open)).toBe("wrong_secret");
    expect(open).toThrow(/SEKISHO_SESSIONS_KEY_SECRET/);
    expect(open).toThrow(
      expect.not.objectContaining({ message: expect.stringContaining("PRIVATE") }),
    );
  });

  test("opens with the previous secret, and says that it is outdated", () => {
    const opened = openPrivateKey(sealed, name, { secret: other, previousSecret: secret });
    expect(opened).toEqual({ privateKey: PRIVATE, outdated: true });
  });

  test("is not outdated where both secrets are the same", () => {
    const secrets = { secret, previousSecret: secret };
    expect(openPrivateKey(sealed, name, secrets).outdated).toBe(false);
  });

  test("does not open where neither secret is right", () => {
    const secrets = { secret: other, previousSecret: randomBytes(32) };
    expect(codeOf(() => openPrivateKey(sealed, name, secrets))).toBe("wrong_secret");
  });

  test.each([
    ["kid", { kid: "key-2", algorithm: "ES256" }],
    ["algorithm", { kid: "key-1", algorithm: "EdDSA" }],
  ])("does not open under another %s", (_, wrong) => {
    expect(codeOf(() => openPrivateKey(sealed, wrong, { secret }))).toBe("wrong_secret");
  });

  test("does not open once any of its bytes was changed", () => {
    for (let at = 0; at < sealed.length; at += 1) {
      const changed = Uint8Array.from(sealed, (byte, index) => (index === at ? byte ^ 1 : byte));
      const expected = at === 0 ? "key_unreadable" : "wrong_secret";
      expect(codeOf(() => openPrivateKey(changed, name, { secret }))).toBe(expected);
    }
  });

  test.each([0, 1, 12, 28, 29])("of %d bytes is none", (length) => {
    const short = sealed.subarray(0, length);
    expect(codeOf(() => openPrivateKey(short, name, { secret }))).toBe("key_unreadable");
  });

  test("does not open once its end is missing", () => {
    const short = sealed.subarray(0, -1);
    expect(codeOf(() => openPrivateKey(short, name, { secret }))).toBe("wrong_secret");
  });
});

describe("a secret", () => {
  test.each<[string, KeySecrets, string]>([
    ["of 32 bytes is one", { secret }, "none"],
    ["of 31 bytes is none", { secret: secret.subarray(1) }, "secret_malformed"],
    ["of 33 bytes is none", { secret: randomBytes(33) }, "secret_malformed"],
    ["may have a previous one", { secret, previousSecret: other }, "none"],
    ["may not have a short one", { secret, previousSecret: randomBytes(31) }, "secret_malformed"],
  ])("%s", (_, secrets, code) => {
    expect(codeOf(() => requireSecrets(secrets))).toBe(code);
  });
});
