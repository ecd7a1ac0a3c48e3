/**
 * Decodes base64url as used in a JWS (RFC 7515, section 2: no padding, no white space), and only in
 * its canonical form (RFC 4648, section 3.5: the unused bits of the last character are zero).
 *
 * Node's decoder skips unknown characters and ignores those bits, so one signature could be written
 * in many ways. So the decoded bytes must encode to the same text again, which checks alphabet,
 * padding, length and trailing bits at once.
 *
 * @returns undefined where the text is not canonical base64url; the empty text is.
 */
export function decodeBase64url(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, "base64url");
  return bytes.toString("base64url") === text ? bytes : undefined;
}
