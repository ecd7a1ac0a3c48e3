import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { HalfSipHash } from "../../../../src/authz/follow/half-sip-hash.js";

const KEY = Uint8Array.from([0, 1, 2, 3, 4, 5, 6, 7]);

/** HalfSipHash-2-4 of bytes, as it is specified, with 64 bits of output in hexadecimal. */
function specified(key: Uint8Array, message: Uint8Array): string {
  const keys = new DataView(key.buffer, key.byteOffset);
  const [k0, k1] = [keys.getUint32(0, true), keys.getUint32(4, true)];
  let [v0, v1, v2, v3] = [k0, k1 ^ 0xee, 0x6c796765 ^ k0, 0x74656462 ^ k1];
  const left = (value: number, bits: number) => (value << bits) | (value >>> (32 - bits));
  const rounds = (count: number) => {
    for (let round = 0; round < count; round += 1) {
      v0 = (v0 + v1) | 0;
      v1 = left(v1, 5) ^ v0;
      v0 = left(v0, 16);
      v2 = (v2 + v3) | 0;
      v3 = left(v3, 8) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = left(v3, 7) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = left(v1, 13) ^ v2;
      v2 = left(v2, 16);
    }
  };
  const padded = new Uint8Array(4 * Math.floor(message.length / 4) + 4);
  padded.set(message);
  padded[padded.length - 1] = message.length & 0xff;
  const words = new DataView(padded.buffer);
  for (let at = 0; at < padded.length; at += 4) {
    const word = words.getUint32(at, true);
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  }
  const output = new DataView(new ArrayBuffer(8));
  v2 ^= 0xee;
  rounds(4);
  output.setInt32(0, v1 ^ v3, true);
  v1 ^= 0xdd;
  rounds(4);
  output.setInt32(4, v1 ^ v3, true);
  return Buffer.from(output.buffer).toString("hex");
}

function hashOf(number: number, texts: readonly string[], key = KEY): string {
  const hash = new HalfSipHash(key);
  hash.of(number, texts);
  const output = new DataView(new ArrayBuffer(8));
  output.setInt32(0, hash.low, true);
  output.setInt32(4, hash.high, true);
  return Buffer.from(output.buffer).toString("hex");
}

/** The words that stand for a number and texts, as bytes. */
function messageOf(number: number, texts: readonly string[]): Uint8Array {
  const words = [number];
  for (const text of texts) {
    const units = Array.from({ length: text.length }, (_, at) => text.charCodeAt(at));
    const perWord = units.every((unit) => unit < 256) ? 4 : 2;
    words.push(text.length + (perWord === 2 ? 2 ** 31 : 0));
    for (let at = 0; at < units.length; at += perWord) {
      const inWord = units.slice(at, at + perWord);
      words.push(inWord.reduceRight((word, unit) => word * 2 ** (32 / perWord) + unit, 0));
    }
  }
  return new Uint8Array(Uint32Array.from(words).buffer);
}

const texts = fc.array(
  fc.oneof(fc.string({ maxLength: 70 }), fc.string({ unit: "binary", maxLength: 70 })),
  { maxLength: 4 },
);

describe("HalfSipHash", () => {
  it.each([
    [0, "218d1f59b9b83cc8"],
    [1, "be552412f8387315"],
    [4, "d5e78a175be52ea1"],
    [8, "edfee820bce4858c"],
  ])("is specified here as its authors did: %i bytes", (length, hash) => {
    const message = Uint8Array.from({ length }, (_, at) => at);
    expect(specified(KEY, message)).toBe(hash);
  });

  it("is that of the message which stands for a number and texts, with any key", () => {
    const keys = fc.uint8Array({ minLength: 8, maxLength: 8 });
    fc.assert(
      fc.property(keys, fc.nat(255), texts, (key, number, all) => {
        expect(hashOf(number, all, key)).toBe(specified(key, messageOf(number, all)));
      }),
      { numRuns: 1000 },
    );
  });

  it("differs where number or texts differ", () => {
    const inputs = fc.tuple(fc.nat(7), texts);
    fc.assert(
      fc.property(inputs, inputs, (one, other) => {
        const same = JSON.stringify(one) === JSON.stringify(other);
        expect(hashOf(...one) === hashOf(...other)).toBe(same);
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    [
      ["ab", "c"],
      ["a", "bc"],
    ],
    [["a", ""], ["a"]],
    [
      ["", "a"],
      ["a", ""],
    ],
    [["a\0"], ["a"]],
    [["\u0161"], ["a\u0001"]],
    [["\u0161\u0161"], ["a\u0001a\u0001"]],
  ])("tells %j and %j apart", (one, other) => {
    expect(hashOf(1, one)).not.toBe(hashOf(1, other));
  });

  it("differs with the key", () => {
    const other = Uint8Array.from([1, 1, 2, 3, 4, 5, 6, 7]);
    expect(hashOf(1, ["acme"])).not.toBe(hashOf(1, ["acme"], other));
  });
});
