/** A chain of nftables that drops everything, made without nft(8). Source: include/uapi/linux/netfilter/nf_tables.h. */
import { NetlinkSocket } from "../../src/socket/netlink_socket.ts";
import { loadSys } from "../../src/sys/load.ts";
import type { AttrWriter } from "../../src/wire/attr_writer.ts";
import { encodeMessage, joinMessages, NLM_F_CREATE, NLM_F_REQUEST } from "../../src/wire/message.ts";

const NETLINK_NETFILTER = 12;
const NFNL_SUBSYS_NFTABLES = 10;
const [NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END] = [16, 17];
const [NFT_MSG_NEWTABLE, NFT_MSG_DELTABLE, NFT_MSG_NEWCHAIN] = [0, 2, 3];
const NFPROTO_IPV4 = 2;
const NF_INET_FORWARD = 2;
const NF_DROP = 0;

/** Drops every IPv4 packet that would be forwarded, until it is disposed of. */
export async function dropForwarded(): Promise<Disposable> {
  const socket = new NetlinkSocket(await loadSys(), NETLINK_NETFILTER);
  const table = "psample";
  change(
    socket,
    nft(NFT_MSG_NEWTABLE, (attr) => attr.string(1, table)),
    nft(NFT_MSG_NEWCHAIN, (attr) => {
      attr.string(1, table).string(3, "forward").nest(4, (hook) => void hook.be32(1, NF_INET_FORWARD).be32(2, 0)).be32(5, NF_DROP);
      attr.string(7, "filter");
    }),
  );
  return {
    [Symbol.dispose]: () => {
      change(socket, nft(NFT_MSG_DELTABLE, (attr) => attr.string(1, table)));
      socket.close();
    },
  };
}

/** All of the changes, or none. The kernel has made them when this returns. */
function change(socket: NetlinkSocket, ...messages: Uint8Array[]): void {
  const batch = (type: number): Uint8Array =>
    encodeMessage({ type, flags: NLM_F_REQUEST }, new Uint8Array([0, 0, 0, NFNL_SUBSYS_NFTABLES]));
  socket.send(joinMessages([batch(NFNL_MSG_BATCH_BEGIN!), ...messages, batch(NFNL_MSG_BATCH_END!)]), "change nftables");
}

function nft(command: number | undefined, attributes: (attr: AttrWriter) => void): Uint8Array {
  // struct nfgenmsg: u8 family, u8 version, be16 resource.
  const fixed = new Uint8Array([NFPROTO_IPV4, 0, 0, 0]);
  return encodeMessage({ type: NFNL_SUBSYS_NFTABLES << 8 | command!, flags: NLM_F_REQUEST | NLM_F_CREATE }, fixed, attributes);
}
