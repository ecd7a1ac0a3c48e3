/**
 * PGlite's access to a folder, with fsync. PGlite turns PostgreSQL's fsync off and has none for
 * Node folders, so that a commit would survive a crash of the process but not of the machine.
 */
import { fsyncSync } from "node:fs";
import { PGlite } from "@electric-sql/pglite";
import { NodeFS } from "@electric-sql/pglite/nodefs";
import { z } from "zod";

/** PGlite's own parameters except `-F`, which turns fsync off. */
export const SYNCING_PARAMETERS: readonly string[] = [
  ...PGlite.defaultStartParams.filter((parameter) => parameter !== "-F"),
  // The sync method that reaches `fsync` below.
  ...["-c", "wal_sync_method=fsync"],
];

/** The part of Emscripten's file systems that is used; PGlite does not type it. */
const operationsSchema = z.object({ stream_ops: z.record(z.string(), z.unknown()) });
const streamSchema = z.object({ nfd: z.number() });

export class SyncedFolder extends NodeFS {
  readonly #sync: (descriptor: number) => void;

  /** `sync` syncs an open file to disk; tests count its calls. */
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
    // Parsed to check its shape only: the object itself has to be changed.
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
