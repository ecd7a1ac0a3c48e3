import { TOKEN_MAX_BYTES } from "../tokens/compact-jws.js";

/** A token and the end of its line. */
const INPUT_MAX_BYTES = TOKEN_MAX_BYTES + 2;

/**
 * A token from standard input: a command line would show it to every user of the machine, and keep it
 * in the shell's history. undefined: the input is longer than any token.
 */
export async function readTokenFromStdin(): Promise<string | undefined> {
  if (process.stdin.isTTY) process.stderr.write("Paste the token, then press Enter and Ctrl-D.\n");
  const decoder = new TextDecoder();
  let [text, bytes] = ["", 0];
  // Node's stream type knows the type of its chunks; leaving the loop closes the input.
  for await (const part of ReadableStream.from<Uint8Array>(process.stdin)) {
    bytes += part.byteLength;
    if (bytes > INPUT_MAX_BYTES) return undefined;
    text += decoder.decode(part, { stream: true });
  }
  return (text + decoder.decode()).replace(/\r?\n$/, "");
}
