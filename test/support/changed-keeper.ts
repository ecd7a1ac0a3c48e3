import type { LogKeeper } from "../../src/revocation-log/log-keeper.js";

/** A keeper that does as `keeper` does, but for what `change` does instead. */
export function changedKeeper(keeper: LogKeeper, change: Partial<LogKeeper>): LogKeeper {
  return {
    facts: () => keeper.facts(),
    entriesAfter: (id, count) => keeper.entriesAfter(id, count),
    beginRestore: (marker) => keeper.beginRestore(marker),
    clear: (marker) => keeper.clear(marker),
    append: (marker, horizonS, entries) => keeper.append(marker, horizonS, entries),
    finish: (marker, log) => keeper.finish(marker, log),
    demandReplicas: (generation, replicas) => keeper.demandReplicas(generation, replicas),
    trim: (request) => keeper.trim(request),
    keep: (generation) => keeper.keep(generation),
    removeSilentRows: (ms) => keeper.removeSilentRows(ms),
    close: () => keeper.close(),
    ...change,
  };
}
