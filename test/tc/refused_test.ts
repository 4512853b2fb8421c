import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { encodeActions } from "../../src/tc/action.ts";
import { encodeFilter } from "../../src/tc/filter.ts";
import { refusedArgument } from "../../src/tc/refused.ts";
import { LITTLE, viewOf } from "../../src/wire/native.ts";

/** The offset of the attribute of a u32 that occurs once in a request: 4 bytes before the value. */
function attributeOf(request: Uint8Array, value: number): number {
  const view = viewOf(request);
  for (let at = 0; at + 4 <= request.length; at += 4) if (view.getUint32(at, LITTLE) === value) return at - 4;
  throw new Error(`${value} is not in the request`);
}

const SAMPLE = { rate: 0x11111111, group: 0x22222222, truncateBytes: 0x33333333, index: 0x44444444 };

test("refusedArgument names the argument at the kernel's offset, in filters and in actions", () => {
  const actions = [{ sample: SAMPLE, cookie: new Uint8Array([0x55, 0x55, 0x55, 0x55]) }];
  const key = { ifindex: 1, parent: 0xfffffff2, chain: 0x66666666 };
  const requests = [
    encodeFilter("add", key, { kind: "matchall", actions }),
    encodeFilter("add", key, { kind: "flower", keys: { ipProtocol: 6 }, actions }),
    encodeActions("add", actions),
  ];
  for (const request of requests) {
    assertEquals(refusedArgument(request, attributeOf(request, SAMPLE.rate)), "rate");
    assertEquals(refusedArgument(request, attributeOf(request, SAMPLE.group)), "group");
    assertEquals(refusedArgument(request, attributeOf(request, SAMPLE.truncateBytes)), "truncation");
    assertEquals(refusedArgument(request, attributeOf(request, SAMPLE.index)), "index or control");
    assertEquals(refusedArgument(request, attributeOf(request, 0x55555555)), "cookie");
  }
  assertEquals(refusedArgument(requests[0]!, attributeOf(requests[0]!, 0x66666666)), "chain");
});

test("refusedArgument returns numbers for unnamed attributes, and nothing where no attribute begins", () => {
  const request = encodeFilter("add", { ifindex: 1, parent: 0xfffffff2 }, { kind: "matchall", flags: 0x77777777 });
  assertEquals(refusedArgument(request, attributeOf(request, 0x77777777)), "attribute 2/3");
  assertEquals([0, 17, 5000].map((offset) => refusedArgument(request, offset)), [undefined, undefined, undefined]);
});
