import type { Algorithm } from "./algorithms.js";

/** The names of the claims in an issuer's tokens; `epoch: null` for an issuer without epochs. */
export interface ClaimNames {
  readonly tenant: string;
  readonly user: string;
  readonly session: string;
  readonly epoch: string | null;
}

export const DEFAULT_CLAIM_NAMES: ClaimNames = {
  tenant: "tenant_id",
  user: "user_id",
  session: "session_id",
  epoch: "user_epoch",
};

/** Where an issuer's public keys come from: a JWK Set (RFC 7517, section 5) by URL or by file. */
export type KeyLocation =
  { readonly kind: "url"; readonly url: string } | { readonly kind: "file"; readonly path: string };

/** An issuer whose tokens are accepted. */
export interface Issuer {
  /** Compared with `iss`, byte for byte. */
  readonly issuer: string;
  /** One of the token's `aud` must equal it. */
  readonly audience: string;
  readonly keyLocation: KeyLocation;
  readonly algorithms: readonly Algorithm[];
  /** The JOSE header's `typ`, without `application/`; case-insensitive. */
  readonly typ: string;
  /** The tenants that it may issue tokens for; undefined: all. */
  readonly tenants: ReadonlySet<string> | undefined;
  readonly claims: ClaimNames;
}
