import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { ArgumentError } from "../../../src/errors.ts";
import { Datagrams } from "../../../src/export/datagrams.ts";
import { SflowEncoder } from "../../../src/export/sflow/encoder.ts";
import type { SflowOptions } from "../../../src/export/sflow/options.ts";

function make(options: Partial<SflowOptions>, bytes = 65_536): SflowEncoder {
  return new SflowEncoder(new Datagrams(new Uint8Array(bytes), 1), () => {}, { agent: "192.0.2.1", ...options });
}

function refused(options: Partial<SflowOptions>, message: string, bytes?: number): void {
  assertEquals(assertThrows(() => make(options, bytes), ArgumentError).message, message);
}

test("options that cannot be are refused, with what can", () => {
  refused({ agent: "eth0" }, 'agent "eth0" is not an IPv4 or IPv6 address');
  refused({ agent: "" }, 'agent "" is not an IPv4 or IPv6 address');
  refused({ agent: "192.0.2.256" }, 'agent "192.0.2.256" is not an IPv4 or IPv6 address');
  refused({ agent: "0.0.0.0" }, "agent 0.0.0.0 is the unspecified address: name one that this machine is known by");
  refused({ agent: "::" }, "agent :: is the unspecified address: name one that this machine is known by");
  refused({ subAgent: -1 }, "subAgent -1 is not a whole number from 0 to 4294967295");
  refused({ subAgent: 1.5 }, "subAgent 1.5 is not a whole number from 0 to 4294967295");
  refused({ maxDatagramBytes: 511 }, "maxDatagramBytes 511 is not a whole number from 512 to 65507");
  refused({ maxDatagramBytes: 65_508 }, "maxDatagramBytes 65508 is not a whole number from 512 to 65507");
  refused({ maxDatagramBytes: NaN }, "maxDatagramBytes NaN is not a whole number from 512 to 65507");
  refused({ headerBytes: -1 }, "headerBytes -1 is not a whole number from 0 to 1052, the most that fits into datagrams of 1400 bytes");
  refused({ headerBytes: 1053 }, "headerBytes 1053 is not a whole number from 0 to 1052, the most that fits into datagrams of 1400 bytes");
  refused(
    { headerBytes: 1500, maxDatagramBytes: 1500 },
    "headerBytes 1500 is not a whole number from 0 to 1152, the most that fits into datagrams of 1500 bytes",
  );
  refused({ agents: new Map([[-1, "192.0.2.2"]]) }, "nsid of agents -1 is not a whole number from 0 to 2147483647");
  refused({ agents: new Map([[1, "x"]]) }, 'the agent of namespace 1 "x" is not an IPv4 or IPv6 address');
  refused(
    { agents: new Map([[1, "192.0.2.1"]]) },
    "192.0.2.1 is the agent address of two namespaces: collectors could not tell them apart",
  );
  refused({}, "a datagram of 1400 bytes does not fit into 1399", 1399);
});

test("options at their bounds are accepted", () => {
  make({ maxDatagramBytes: 512, headerBytes: 128 });
  make({ maxDatagramBytes: 65_507, headerBytes: 65_159, subAgent: 0xffff_ffff }, 65_507);
  make({ headerBytes: 0 });
  make({ agents: new Map([[0, "192.0.2.2"], [1, "::1"]]) });
});

test("an index that no interface has is refused", () => {
  const encoder = make({});
  for (const ifindex of [-1, 1.5, 2 ** 32, NaN]) {
    assertThrows(() => encoder.setTrials(ifindex, 0n), ArgumentError, `ifindex ${ifindex} is not a whole number from 0 to 4294967295`);
  }
});
