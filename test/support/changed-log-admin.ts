import type { LogAdmin } from "../../src/revocation-log/log-admin.js";

/** A log admin that does as `logAdmin` does, but for what `change` does instead. */
export function changedKeeper(logAdmin: LogAdmin, change: Partial<LogAdmin>): LogAdmin {
  return {
    facts: () => logAdmin.facts(),
    entriesAfter: (id, count) => logAdmin.entriesAfter(id, count),
    beginRestore: (marker) => logAdmin.beginRestore(marker),
    clear: (marker) => logAdmin.clear(marker),
    append: (marker, horizonS, entries) => logAdmin.append(marker, horizonS, entries),
    finish: (marker, log) => logAdmin.finish(marker, log),
    demandReplicas: (generation, replicas) => logAdmin.demandReplicas(generation, replicas),
    trim: (request) => logAdmin.trim(request),
    keep: (generation) => logAdmin.keep(generation),
    removeSilentRows: (ms) => logAdmin.removeSilentRows(ms),
    close: () => logAdmin.close(),
    ...change,
  };
}
