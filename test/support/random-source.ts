/**
 * Random numbers from 0 to 1 that are the same for the same seed, so that what failed can be
 * repeated: a multiplicative congruential generator modulo the prime 2^31 - 1.
 */
const MODULUS = 2 ** 31 - 1;
const MULTIPLIER = 48_271;

export function randomFrom(seed: number): () => number {
  let state = 1 + (Math.abs(Math.trunc(seed)) % (MODULUS - 1));
  return () => {
    state = (state * MULTIPLIER) % MODULUS;
    return state / MODULUS;
  };
}
