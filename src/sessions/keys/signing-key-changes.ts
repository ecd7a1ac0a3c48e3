import { type KeySecrets, sealPrivateKey } from "./key-encryption.js";
import type { GeneratedKey } from "./key-generation.js";
import { planRotation, type RotationSchedule } from "./key-rotation.js";
import { type ReadableKey, withTimesOf } from "./readable-key.js";
import type { SigningKeyChanges, StoredSigningKey } from "./signing-key-store.js";

/** Whether the stored keys have to be changed, and whether that needs a new key. */
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
  /** The stored keys, read under the lock. */
  readonly locked: readonly StoredSigningKey[];
  /** The keys decrypted before. */
  readonly read: readonly ReadableKey[];
  /** To be stored if it is still needed. */
  readonly generated: GeneratedKey | undefined;
  readonly nowMs: number;
}

/** Decides again under the lock: another instance may have been first. */
export function decideChanges(
  { locked, read, generated, nowMs }: ChangeFacts,
  options: RotationSchedule & KeySecrets,
): SigningKeyChanges {
  // Without a generated key, the next reload creates one.
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
