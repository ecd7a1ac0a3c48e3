import { describe, expect, it } from "@jest/globals";
import { normalisedPassword } from "../../../../src/sessions/passwords/password-form.js";
import {
  PASSWORD_MAX_CODE_POINTS,
  PASSWORD_MIN_CODE_POINTS,
  passwordFaults,
} from "../../../../src/sessions/passwords/password-rules.js";

const OWNER = { login: "ana.lima@example.test", userId: "user-0000-0001" };
const faults = (password: string) => passwordFaults(password, OWNER);
const COMPOSED = "\u00e9";
const DECOMPOSED = "e\u0301";

describe("a new password", () => {
  it("may consist of any characters, without rules of composition", () => {
    expect(faults("aaaaaaaaaaaa")).toEqual([]);
    expect(faults("correct horse battery staple")).toEqual([]);
    expect(faults(" パスワードは長いほうが良い ")).toEqual([]);
  });

  it("has at least twelve and at most 256 characters, each code point counted as one", () => {
    expect([PASSWORD_MIN_CODE_POINTS, PASSWORD_MAX_CODE_POINTS]).toEqual([12, 256]);
    for (const character of ["x", "🔑"]) {
      expect(faults(character.repeat(11))).toEqual(["password_too_short"]);
      expect(faults(character.repeat(12))).toEqual([]);
      expect(faults(character.repeat(256))).toEqual([]);
      expect(faults(character.repeat(257))).toEqual(["password_too_long"]);
    }
    expect(faults("")).toEqual(["password_too_short"]);
    expect(faults("x".repeat(1_000_000))).toEqual(["password_too_long"]);
  });

  it("is measured as it is hashed, after normalisation", () => {
    expect(faults(DECOMPOSED.repeat(11))).toEqual(["password_too_short"]);
    expect(faults(DECOMPOSED.repeat(12))).toEqual([]);
    expect(faults(DECOMPOSED.repeat(256))).toEqual([]);
  });

  it("is well-formed Unicode of known characters", () => {
    expect(faults("twelve chars \ud800")).toEqual(["password_malformed"]);
    expect(faults("twelve chars \u0378")).toEqual(["password_unassigned_character"]);
    expect(faults("twelve chars \ue000")).toEqual([]);
  });

  it("is neither the login nor the user id, whatever the case or the normal form", () => {
    expect(faults("Ana.Lima@EXAMPLE.test")).toEqual(["password_is_login"]);
    expect(faults("USER-0000-0001")).toEqual(["password_is_user_id"]);
    expect(faults("user-0000-0002")).toEqual([]);
    const owner = { login: `ren${COMPOSED}@example.test`, userId: "u" };
    expect(passwordFaults(`REN${DECOMPOSED}@example.test`, owner)).toEqual(["password_is_login"]);
  });

  it("is told everything that is wrong with it", () => {
    const owner = { login: "ana", userId: "ana" };
    expect(passwordFaults("Ana", owner)).toEqual([
      "password_too_short",
      "password_is_login",
      "password_is_user_id",
    ]);
  });
});

describe("the form in which passwords are hashed", () => {
  it("is NFC: what is canonically the same is the same", () => {
    expect(normalisedPassword(DECOMPOSED)).toBe(COMPOSED);
    expect(normalisedPassword("\u212b")).toBe("\u00c5");
  });

  it("keeps apart what only looks alike, and changes neither case nor spaces", () => {
    expect(normalisedPassword("ﬁ ① Ａ")).toBe("ﬁ ① Ａ");
    expect(normalisedPassword("  Abc  ")).toBe("  Abc  ");
  });

  it("is not made of what would take too long to normalise", () => {
    expect(normalisedPassword("x".repeat(1024))).toHaveLength(1024);
    expect(normalisedPassword("x".repeat(1025))).toBeUndefined();
    expect(normalisedPassword("\udc00")).toBeUndefined();
  });
});
