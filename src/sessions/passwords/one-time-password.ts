/**
 * 32 characters, so that five bits of a random byte choose one without bias. I, O, 0 and 1 are left
 * out, because they are easily confused on a screen.
 */
const ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
const GROUPS = 6;
const GROUP_CHARACTERS = 4;

/**
 * A password to be used once and then replaced, such as `7KQM-X2FD-…`: 24 characters of five bits
 * are 120 bits. The hyphens are part of it.
 *
 * @param randomBytes a source that an attacker cannot predict, such as node:crypto's
 */
export function oneTimePassword(randomBytes: (size: number) => Uint8Array): string {
  const characters = Array.from(randomBytes(GROUPS * GROUP_CHARACTERS), (byte) =>
    ALPHABET.charAt(byte % ALPHABET.length),
  );
  return Array.from({ length: GROUPS }, (_, group) =>
    characters.slice(group * GROUP_CHARACTERS, (group + 1) * GROUP_CHARACTERS).join(""),
  ).join("-");
}
