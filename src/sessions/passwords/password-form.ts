/**
 * The longest password that is processed, in UTF-16 code units as received. The time for
 * normalising grows with the square of the length of a sequence of combining marks (a quarter of a
 * second for 32,000 of them, 0.3 ms for 1,000), and any client may send a password.
 */
const LOOKED_AT_MAX_CODE_UNITS = 1024;

/**
 * The password as it is measured, compared and hashed: in Normalization Form C, so that "é" is the
 * same whether a keyboard sends one code point or two. NIST SP 800-63B-4 §3.1.1.2 asks for NFC
 * (revision 3 asked for NFKC or NFKD, which make different passwords equal). Nothing else is
 * changed: neither case nor spaces, and nothing is truncated.
 *
 * Undefined for a text that cannot be a password: far too long, or not well-formed Unicode, whose
 * lone surrogates would all be encoded as the same three bytes.
 */
export function normalisedPassword(password: string): string | undefined {
  if (password.length > LOOKED_AT_MAX_CODE_UNITS || !password.isWellFormed()) return undefined;
  return password.normalize("NFC");
}
