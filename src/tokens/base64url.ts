/**
 * Decodes base64url as a JWS has it (RFC 7515, section 2: no padding, no white space), and only in
 * its canonical form (RFC 4648, section 3.5: the unused bits of the last character are zero).
 *
 * Node's decoder skips what it does not know and ignores those bits, so one signature could be
 * written in many ways. Encoding again what was decoded must therefore give the same text, which
 * covers alphabet, padding, length and trailing bits at once.
 *
 * @returns undefined where the text is not canonical base64url; the empty text is.
 */
export function decodeBase64url(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, "base64url");
  return bytes.toString("base64url") === text ? bytes : undefined;
}
