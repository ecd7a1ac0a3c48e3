/**
 * PGlite's access to a folder, with fsync: by itself it turns PostgreSQL's fsync off and has none
 * for folders of Node, so that a commit would survive the program's death, but not the machine's.
 */
import { fsyncSync } from "node:fs";
import { PGlite } from "@electric-sql/pglite";
import { NodeFS } from "@electric-sql/pglite/nodefs";
import { z } from "zod";

/** PGlite's own parameters, but for `-F`, which turns fsync off. */
export const SYNCING_PARAMETERS: readonly string[] = [
  ...PGlite.defaultStartParams.filter((parameter) => parameter !== "-F"),
  // Of its ways to bring the write-ahead log to disk, the one that reaches `fsync` below.
  ...["-c", "wal_sync_method=fsync"],
];

/** What is used of Emscripten's file systems, which PGlite does not describe. */
const operationsSchema = z.object({ stream_ops: z.record(z.string(), z.unknown()) });
const streamSchema = z.object({ nfd: z.number() });

export class SyncedFolder extends NodeFS {
  readonly #sync: (descriptor: number) => void;

  /** `sync` brings an open file to disk; tests count its calls. */
  constructor(folder: string, sync: (descriptor: number) => void = fsyncSync) {
    super(folder);
    this.#sync = sync;
  }

  override async init(...[pglite, given]: Parameters<NodeFS["init"]>): ReturnType<NodeFS["init"]> {
    const { emscriptenOpts } = await super.init(pglite, given);
    const preRun = [
      ...(emscriptenOpts.preRun ?? []),
      (module: { readonly NODEFS: unknown }) => this.#addFsync(module.NODEFS),
    ];
    return { emscriptenOpts: { ...emscriptenOpts, preRun } };
  }

  #addFsync(nodeFiles: unknown): void {
    // Parsed for its form only: the object itself has to be changed.
    operationsSchema.parse(nodeFiles);
    if (typeof nodeFiles !== "object" || nodeFiles === null || !("stream_ops" in nodeFiles)) return;
    Object.assign(Object(nodeFiles.stream_ops), {
      fsync: (stream: unknown) => {
        this.#sync(streamSchema.parse(stream).nfd);
        return 0;
      },
    });
  }
}
