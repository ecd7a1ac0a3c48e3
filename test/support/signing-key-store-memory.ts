import type {
  SigningKeyChanges,
  SigningKeyStore,
  StoredSigningKey,
} from "../../src/sessions/keys/signing-key-store.js";

/** A store for tests that must make it fail; it passes the same contract as the real one. */
export class MemorySigningKeyStore implements SigningKeyStore {
  readonly rows = new Map<string, StoredSigningKey>();
  /** What every call is answered with from now on, until it is undefined again. */
  fault: Error | undefined;
  loads = 0;
  changes = 0;

  load(): Promise<readonly StoredSigningKey[]> {
    this.loads += 1;
    return this.#answer(() => undefined);
  }

  change(
    _atMs: number,
    decide: (stored: readonly StoredSigningKey[]) => SigningKeyChanges,
  ): Promise<readonly StoredSigningKey[]> {
    this.changes += 1;
    return this.#answer(() => this.#apply(decide([...this.rows.values()])));
  }

  async #answer(act: () => void): Promise<readonly StoredSigningKey[]> {
    await Promise.resolve();
    if (this.fault !== undefined) throw this.fault;
    act();
    return [...this.rows.values()];
  }

  #apply({ create, extend, reseal, remove }: SigningKeyChanges): void {
    for (const kid of remove) this.rows.delete(kid);
    for (const { kid, ...changed } of [...extend, ...reseal]) {
      const row = this.rows.get(kid);
      if (row !== undefined) this.rows.set(kid, { ...row, ...changed });
    }
    for (const row of create) this.rows.set(row.kid, row);
  }
}
