/** Where in a Redis Cluster a key is: the replies to CLUSTER KEYSLOT and CLUSTER SLOTS. */
import { z } from "zod";
import type { HostPort } from "../runtime/config/redis-url.js";
import { parse } from "./replies-redis.js";
import { RevocationLogError } from "./revocation-log.js";

const slotSchema = z.int().min(0).max(16_383);
/** Master first; a server that does not know its own name leaves it out. */
const serverSchema = z.tuple([z.string().nullable(), z.int().min(1).max(65_535)]).rest(z.unknown());
const slotsSchema = z.array(z.tuple([slotSchema, slotSchema, serverSchema]).rest(z.unknown()));

/**
 * The master of the slot.
 * @param asked the server that replied
 * @throws RevocationLogError
 */
export function slotMaster(keySlot: unknown, slots: unknown, asked: HostPort): HostPort {
  const slot = parse("CLUSTER KEYSLOT", slotSchema, keySlot);
  const ranges = parse("CLUSTER SLOTS", slotsSchema, slots);
  const found = ranges.find(([from, to]) => from <= slot && slot <= to);
  if (found === undefined) {
    const message = `CLUSTER SLOTS: no master has the revocation log's slot (${slot}) now`;
    throw new RevocationLogError("unavailable", message);
  }
  const [host, port] = found[2];
  return { host: host === null || host === "" || host === "?" ? asked.host : host, port };
}
