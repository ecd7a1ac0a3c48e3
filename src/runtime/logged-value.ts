/**
 * What a client sent, as far as it may be logged. Any field can hold anything, even a token, and part
 * of one would be too much: a value without the expected form is left out completely.
 */

/** UUIDs, ULIDs, trace ids. No dot, as tokens have it, and too short for a secret of 32 bytes. */
const REQUEST_ID = /^[A-Za-z0-9_-]{1,40}$/;

/** A signature alone is longer. `eyJ` is how the parts of a token begin that are JSON. */
const TENANT = /^(?!.*eyJ)[\p{L}\p{N} ._:@/-]{1,64}$/u;

export function loggedRequestId(id: string | undefined): string | undefined {
  return id !== undefined && REQUEST_ID.test(id) && !id.startsWith("eyJ") ? id : undefined;
}

/** Of a request whose caller is not known yet. */
export function loggedTenant(tenant: string | undefined): string | undefined {
  return tenant !== undefined && TENANT.test(tenant) ? tenant : undefined;
}
