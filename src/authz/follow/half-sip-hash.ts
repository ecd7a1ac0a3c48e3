/**
 * HalfSipHash-2-4 with 64 bits of output (Aumasson and Bernstein): a keyed pseudorandom function.
 * Without the key, inputs with one hash cannot be searched for, nor many that share a bucket.
 *
 * What is hashed is a number and several texts, in words of 32 bits that say them unambiguously: the
 * number; of each text its length, then its code units, four in a word if each fits into a byte, else two.
 */
const ROUNDS = 2;
/** In the word of a text's length: two code units in a word. */
const WIDE = 1 << 31;

export class HalfSipHash {
  readonly #key0: number;
  readonly #key1: number;
  readonly #state = new Int32Array(4);
  /** The result: twice 32 bits, signed. */
  low = 0;
  high = 0;

  /** `key`: 8 random bytes, which never leave the process. */
  constructor(key: Uint8Array) {
    const view = new DataView(key.buffer, key.byteOffset, 8);
    this.#key0 = view.getInt32(0, true);
    this.#key1 = view.getInt32(4, true);
  }

  /** Sets `low` and `high`; gives no object, because every check comes here several times. */
  of(number: number, texts: readonly string[]): void {
    const state = this.#state;
    state[0] = this.#key0;
    state[1] = this.#key1 ^ 0xee;
    state[2] = this.#key0 ^ 0x6c796765;
    state[3] = this.#key1 ^ 0x74656462;
    let words = 1;
    this.#absorb(number, "", 4);
    for (const text of texts) {
      const { length } = text;
      const isNarrow = this.#absorb(length, text, 4);
      if (!isNarrow) this.#absorb(length | WIDE, text, 2);
      words += 1 + Math.ceil(length / (isNarrow ? 4 : 2));
    }
    // How many bytes there were, modulo 256, in the highest byte.
    this.#absorb(words << 26, "", 4);
    state[2] ^= 0xee;
    this.low = this.#finish();
    state[1] ^= 0xdd;
    this.high = this.#finish();
  }

  /** Four rounds: to absorb 0 is two rounds and nothing else. */
  #finish(): number {
    this.#absorb(0, "", 4);
    this.#absorb(0, "", 4);
    return (this.#state[1] ?? 0) ^ (this.#state[3] ?? 0);
  }

  /** A word, and those of `text`; false: nothing was absorbed, a code unit has no room in its place. */
  #absorb(first: number, text: string, unitsPerWord: 2 | 4): boolean {
    const state = this.#state;
    let v0 = state[0] ?? 0;
    let v1 = state[1] ?? 0;
    let v2 = state[2] ?? 0;
    let v3 = state[3] ?? 0;
    const { length } = text;
    const unitBits = 32 / unitsPerWord;
    let units = 0;
    let word = first;
    for (let at = 0; ;) {
      v3 ^= word;
      for (let round = 0; round < ROUNDS; round += 1) {
        v0 = (v0 + v1) | 0;
        v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
        v0 = (v0 << 16) | (v0 >>> 16);
        v2 = (v2 + v3) | 0;
        v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
        v0 = (v0 + v3) | 0;
        v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
        v2 = (v2 + v1) | 0;
        v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
        v2 = (v2 << 16) | (v2 >>> 16);
      }
      v0 ^= word;
      if (at >= length) break;
      word = 0;
      if (unitsPerWord === 4 && at + 4 <= length) {
        // The usual case, written out for speed.
        const a = text.charCodeAt(at);
        const b = text.charCodeAt(at + 1);
        const c = text.charCodeAt(at + 2);
        const d = text.charCodeAt(at + 3);
        word = a | (b << 8) | (c << 16) | (d << 24);
        units |= a | b | c | d;
        at += 4;
      } else {
        for (let shift = 0; shift < 32 && at < length; shift += unitBits, at += 1) {
          const unit = text.charCodeAt(at);
          word |= unit << shift;
          units |= unit;
        }
      }
    }
    if (units >>> unitBits !== 0) return false;
    state[0] = v0;
    state[1] = v1;
    state[2] = v2;
    state[3] = v3;
    return true;
  }
}
