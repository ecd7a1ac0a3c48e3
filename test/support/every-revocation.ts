import type { Revocation, RevocationKind } from "../../src/revocation-log/entry.js";

const ISSUER = "https://issuer.example";
const SHA_256 = "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg";

/** One of each kind, and each form of those that leave something out; in the tenant acme. */
export function everyRevocation(
  issuedBefore: number,
): Readonly<Record<RevocationKind, readonly Revocation[]>> {
  const tenant = "acme";
  const user = { kind: "user_revoked", tenant, user: "ann" } as const;
  const token = { kind: "token_revoked", tenant, issuer: ISSUER } as const;
  return {
    session_revoked: [
      { kind: "session_revoked", tenant, session: "s-1", user: "ann" },
      { kind: "session_revoked", tenant, session: "s-2", user: undefined },
    ],
    user_revoked: [
      { ...user, epoch: 4, issuedBefore: undefined },
      { ...user, epoch: undefined, issuedBefore },
    ],
    token_revoked: [
      { ...token, jti: "j-1", signedDigest: undefined },
      { ...token, jti: undefined, signedDigest: SHA_256 },
    ],
    client_revoked: [
      { kind: "client_revoked", tenant, client: "app", issuedBefore },
      { kind: "client_revoked", tenant: undefined, client: "app", issuedBefore },
    ],
    key_revoked: [{ kind: "key_revoked", issuer: ISSUER, thumbprint: SHA_256 }],
    tenant_revoked: [{ kind: "tenant_revoked", tenant, issuedBefore }],
    all_revoked: [{ kind: "all_revoked", issuedBefore }],
  };
}
