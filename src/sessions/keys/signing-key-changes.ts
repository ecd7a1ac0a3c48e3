import { type KeySecrets, sealPrivateKey } from "./key-encryption.js";
import type { GeneratedKey } from "./key-generation.js";
import { planRotation, type RotationSchedule } from "./key-rotation.js";
import { type ReadableKey, withTimesOf } from "./readable-key.js";
import type { SigningKeyChanges, StoredSigningKey } from "./signing-key-store.js";

/** Whether the stored keys have to be changed, and whether a key is needed for that. */
export function changesNeeded(
  keys: readonly ReadableKey[],
  nowMs: number,
  schedule: RotationSchedule,
): { readonly any: boolean; readonly create: boolean } {
  const { create, extend, remove } = planRotation(keys, nowMs, schedule);
  const reseal = keys.some(({ resealed }) => resealed !== undefined);
  const any = create !== undefined || extend.length > 0 || remove.length > 0 || reseal;
  return { any, create: create !== undefined };
}

export interface ChangeFacts {
  /** The keys as they are under lock. */
  readonly locked: readonly StoredSigningKey[];
  /** The keys that were decrypted before. */
  readonly read: readonly ReadableKey[];
  /** To be stored if one is still needed. */
  readonly generated: GeneratedKey | undefined;
  readonly nowMs: number;
}

/** Decides anew by what is there under lock: another instance may have been faster. */
export function decideChanges(
  { locked, read, generated, nowMs }: ChangeFacts,
  options: RotationSchedule & KeySecrets,
): SigningKeyChanges {
  // Without a key at hand the time for one comes with the next reload.
  const plan = planRotation(locked, nowMs, options);
  const create =
    plan.create === undefined || generated === undefined
      ? []
      : [{ ...plan.create, ...sealed(generated, options.secret) }];
  const reseal = locked.flatMap((stored) => {
    const known = read.find(({ kid }) => kid === stored.kid);
    const sealedPrivateKey = withTimesOf(known, stored)?.resealed;
    return sealedPrivateKey === undefined ? [] : [{ kid: stored.kid, sealedPrivateKey }];
  });
  return { create, extend: plan.extend, remove: plan.remove, reseal };
}

function sealed({ algorithm, publicJwk, privateKey }: GeneratedKey, secret: Uint8Array) {
  const { kid } = publicJwk;
  const sealedPrivateKey = sealPrivateKey(privateKey, { kid, algorithm }, secret);
  return { kid, algorithm, publicJwk, sealedPrivateKey };
}
