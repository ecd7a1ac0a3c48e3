import { describe, expect, test } from "@jest/globals";
import { RequestScheduler } from "../../../../src/authz/check/request-scheduler.js";

const AT_ONCE = 16;

function turnsWith() {
  const turns = new RequestScheduler<string, { closed: boolean; destroyed: boolean }>();
  const begun: string[] = [];
  const send = (connection: string, count: number) =>
    Array.from({ length: count }, (_, index) => {
      const request = { closed: false, destroyed: false };
      turns.add(connection, request, () => begun.push(`${connection}${index}`));
      return request;
    });
  return { begun, send };
}

/** Behind what was scheduled for it before. */
const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

describe("requests", () => {
  test("are begun at once, as far as one turn goes", () => {
    const { begun, send } = turnsWith();
    send("a", AT_ONCE + 1);
    expect(begun).toEqual(Array.from({ length: AT_ONCE }, (_, index) => `a${index}`));
  });

  test("beyond that are begun in the turns after it, as many in each", async () => {
    const { begun, send } = turnsWith();
    send("a", 3 * AT_ONCE - 1);
    await nextTurn();
    expect(begun).toHaveLength(2 * AT_ONCE);
    await nextTurn();
    expect(begun).toEqual(Array.from({ length: 3 * AT_ONCE - 1 }, (_, index) => `a${index}`));
  });

  test("of a connection that has sent one come before the many of another", async () => {
    const { begun, send } = turnsWith();
    send("many", 4 * AT_ONCE);
    send("b", 1);
    send("c", 2);
    await nextTurn();
    expect(begun.slice(AT_ONCE, AT_ONCE + 6)).toEqual([
      "many16",
      "b0",
      "c0",
      "many17",
      "c1",
      "many18",
    ]);
  });

  test("are begun fewer at a time while more than a hundred wait", async () => {
    const { begun, send } = turnsWith();
    send("a", AT_ONCE + 100 + 5);
    await nextTurn();
    expect(begun).toHaveLength(AT_ONCE + 4);
    await nextTurn();
    expect(begun).toHaveLength(AT_ONCE + 8);
    await nextTurn();
    expect(begun).toHaveLength(AT_ONCE + 8 + AT_ONCE);
  });

  test("that were taken back do not count as waiting", async () => {
    const { begun, send } = turnsWith();
    const sent = send("a", AT_ONCE + 200);
    for (const request of sent.slice(AT_ONCE, AT_ONCE + 180)) request.closed = true;
    await nextTurn();
    await nextTurn();
    expect(begun).toHaveLength(AT_ONCE + 4 + AT_ONCE);
  });

  test("that came while others wait do not overtake them", async () => {
    const { begun, send } = turnsWith();
    send("a", AT_ONCE + 2);
    setImmediate(() => send("b", 1));
    await nextTurn();
    await nextTurn();
    expect(begun.slice(AT_ONCE)).toEqual(["a16", "a17", "b0"]);
  });

  test("that were taken back meanwhile are not begun, and take no turn", async () => {
    const { begun, send } = turnsWith();
    const sent = send("a", 4 * AT_ONCE);
    for (const request of sent.slice(AT_ONCE, 2 * AT_ONCE)) request.closed = true;
    for (const request of sent.slice(2 * AT_ONCE, 3 * AT_ONCE)) request.destroyed = true;
    await nextTurn();
    expect(begun.slice(AT_ONCE)).toEqual(
      Array.from({ length: AT_ONCE }, (_, index) => `a${3 * AT_ONCE + index}`),
    );
  });

  test("are begun at once again after a turn without any", async () => {
    const { begun, send } = turnsWith();
    send("a", AT_ONCE);
    await nextTurn();
    send("b", AT_ONCE);
    expect(begun).toHaveLength(2 * AT_ONCE);
  });
});
