/** A token that no key has signed: good enough to name one. */
export function unsignedToken(claims: Readonly<Record<string, unknown>>): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "ES256", kid: "one" })}.${part({ iss: ISSUER, ...claims })}.AAAA`;
}

const ISSUER = "https://issuer.example";
