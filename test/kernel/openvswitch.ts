/** Open vSwitch's datapath with a port and flows that sample, set up by generic netlink, as its daemon does. */
import { findFamily } from "../../src/socket/family.ts";
import { genlHeader } from "../../src/genl/ctrl.ts";
import { Requests } from "../../src/socket/requests.ts";
import { loadSys } from "../../src/sys/load.ts";
import { NETLINK_GENERIC } from "../../src/sys/sys.ts";
import { type AttrWriter, NLA_F_NESTED } from "../../src/wire/attr_writer.ts";
import { encodeMessage, NLM_F_CREATE, NLM_F_ECHO, NLM_F_REQUEST } from "../../src/wire/message.ts";
import { LITTLE, memory, viewOf } from "../../src/wire/native.ts";

/** Which packets a flow takes, and how it samples them. */
export interface SamplingFlow {
  etherType: number;
  /** In units of 1/4294967295. Defaults to every packet. */
  probability?: number;
  trunc?: number;
  group: number;
  cookie?: Uint8Array;
}

// Numbers of include/uapi/linux/openvswitch.h.
const DATAPATH = { CMD_NEW: 1, VERSION: 2, NAME: 1, UPCALL_PID: 2, USER_FEATURES: 5 };
const VPORT = { CMD_NEW: 1, PORT_NO: 1, TYPE: 2, NAME: 3, UPCALL_PID: 5, TYPE_NETDEV: 1 };
const FLOW = { CMD_NEW: 1, KEY: 1, ACTIONS: 2, MASK: 7 };
const KEY = { IN_PORT: 3, ETHERNET: 4, ETHERTYPE: 6, IPV4: 7 };
const ACTION = { SAMPLE: 6, TRUNC: 13, PSAMPLE: 25 };
const SAMPLE = { PROBABILITY: 1, ACTIONS: 2 };
const PSAMPLE = { GROUP: 1, COOKIE: 2 };
const ETH_IPV4 = 0x0800;

/** Gives the device `a` to a new datapath `dp`. It lives as long as the network namespace. */
export async function startOpenVswitch(device: "a", flows: readonly SamplingFlow[]): Promise<void> {
  const requests = new Requests(await loadSys(), NETLINK_GENERIC);
  const ask = async (family: string, command: number, version: number, fill: (attr: AttrWriter) => void): Promise<Uint8Array> => {
    const { id } = (await findFamily(requests, family))!;
    // struct ovs_header: the number of the datapath's device, once it has one.
    const fixed = memory(8);
    fixed.set(genlHeader(command, version));
    viewOf(fixed).setInt32(4, datapath, LITTLE);
    const message = encodeMessage({ type: id, flags: NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ECHO }, fixed, fill);
    const [reply] = await requests.request(message, `ask ${family}`);
    return reply?.payload ?? memory(8);
  };
  let datapath = 0;
  try {
    const reply = await ask("ovs_datapath", DATAPATH.CMD_NEW, DATAPATH.VERSION, (attr) => {
      attr.string(DATAPATH.NAME, "dp").u32(DATAPATH.UPCALL_PID, 0).u32(DATAPATH.USER_FEATURES, 0);
    });
    datapath = viewOf(reply).getInt32(4, LITTLE);
    await ask("ovs_vport", VPORT.CMD_NEW, 1, (attr) => {
      attr.u32(VPORT.PORT_NO, 1).u32(VPORT.TYPE, VPORT.TYPE_NETDEV).string(VPORT.NAME, device).u32(VPORT.UPCALL_PID, 0);
    });
    for (const flow of flows) {
      await ask("ovs_flow", FLOW.CMD_NEW, 1, (attr) => {
        attr.nest(FLOW.KEY, (key) => writeKey(key, 1, flow.etherType, flow.etherType));
        attr.nest(FLOW.ACTIONS, (actions) => writeActions(actions, flow));
        attr.nest(FLOW.MASK, (key) => writeKey(key, 0xffffffff, 0xffff, flow.etherType));
      });
    }
  } finally {
    requests.close();
  }
}

function writeKey(key: AttrWriter, port: number, value: number, etherType: number): void {
  key.u32(KEY.IN_PORT, port).bytes(KEY.ETHERNET, memory(12)).be16(KEY.ETHERTYPE, value);
  // The kernel requires it if there is one; a mask of zeros matches anything.
  if (etherType === ETH_IPV4) key.bytes(KEY.IPV4, memory(12));
}

function writeActions(actions: AttrWriter, { probability, trunc, group, cookie }: SamplingFlow): void {
  const psample = (writer: AttrWriter): void => {
    // Only this action requires the flag.
    writer.nest(ACTION.PSAMPLE | NLA_F_NESTED, (attr) => attr.u32(PSAMPLE.GROUP, group).bytes(PSAMPLE.COOKIE, cookie));
  };
  if (trunc !== undefined) actions.u32(ACTION.TRUNC, trunc);
  if (probability === undefined) psample(actions);
  else actions.nest(ACTION.SAMPLE, (attr) => attr.u32(SAMPLE.PROBABILITY, probability).nest(SAMPLE.ACTIONS, psample));
}
