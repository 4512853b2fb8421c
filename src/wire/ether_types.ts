/**
 * EtherTypes by name: include/uapi/linux/if_ether.h, under the names that iproute2 gives them. The first name of a number is the one that
 * is printed.
 */

export const ETH_P_ALL = 0x0003;
/** The first EtherType: smaller numbers in its place are the length of an 802.3 frame (IEEE 802.3, 3.2.6). */
export const ETH_P_802_3_MIN = 0x0600;
export const ETH_P_IP = 0x0800;
export const ETH_P_ARP = 0x0806;
export const ETH_P_RARP = 0x8035;
/** Transparent Ethernet bridging: a frame follows. */
export const ETH_P_TEB = 0x6558;
export const ETH_P_8021Q = 0x8100;
export const ETH_P_IPV6 = 0x86dd;
export const ETH_P_MPLS_UC = 0x8847;
export const ETH_P_8021AD = 0x88a8;
/** The tag that was used for stacked VLANs before 802.1ad. */
export const ETH_P_QINQ1 = 0x9100;

const NAMES: readonly (readonly [string, number])[] = [
  ["loop", 0x0060],
  ["pup", 0x0200],
  ["pupat", 0x0201],
  ["ip", ETH_P_IP],
  ["x25", 0x0805],
  ["arp", ETH_P_ARP],
  ["bpq", 0x08ff],
  ["ieeepup", 0x0a00],
  ["ieeepupat", 0x0a01],
  ["dec", 0x6000],
  ["dna_dl", 0x6001],
  ["dna_rc", 0x6002],
  ["dna_rt", 0x6003],
  ["lat", 0x6004],
  ["diag", 0x6005],
  ["cust", 0x6006],
  ["sca", 0x6007],
  ["rarp", ETH_P_RARP],
  ["atalk", 0x809b],
  ["aarp", 0x80f3],
  ["ipx", 0x8137],
  ["ipv6", ETH_P_IPV6],
  ["ppp_disc", 0x8863],
  ["ppp_ses", 0x8864],
  ["atmmpoa", 0x884c],
  ["atmfate", 0x8884],
  ["802_3", 0x0001],
  ["ax25", 0x0002],
  ["all", ETH_P_ALL],
  ["802_2", 0x0004],
  ["snap", 0x0005],
  ["ddcmp", 0x0006],
  ["wan_ppp", 0x0007],
  ["ppp_mp", 0x0008],
  ["localtalk", 0x0009],
  ["can", 0x000c],
  ["ppptalk", 0x0010],
  ["tr_802_2", 0x0011],
  ["mobitex", 0x0015],
  ["control", 0x0016],
  ["irda", 0x0017],
  ["econet", 0x0018],
  ["tipc", 0x88ca],
  ["profinet", 0x8892],
  ["aoe", 0x88a2],
  ["ethercat", 0x88a4],
  ["802.1Q", ETH_P_8021Q],
  ["802.1ad", ETH_P_8021AD],
  ["mpls_uc", ETH_P_MPLS_UC],
  ["mpls_mc", 0x8848],
  ["teb", ETH_P_TEB],
  ["LLDP", 0x88cc],
  ["ipv4", ETH_P_IP],
];

const BY_NAME = new Map(NAMES.map(([name, number]) => [name.toLowerCase(), number]));
const BY_NUMBER = new Map([...NAMES].reverse().map(([name, number]) => [number, name]));

/** The EtherType of a name, upper or lower case; `undefined` for a name it does not know. */
export function etherTypeOf(name: string): number | undefined {
  return BY_NAME.get(name.toLowerCase());
}

/** An EtherType as text for people and tc: its name, or the number in hexadecimal after 0x. */
export function etherTypeText(number: number): string {
  return etherTypeName(number) ?? `0x${number.toString(16)}`;
}

/** The name of an EtherType, such as `"802.1Q"`; `undefined` for a number it does not know. */
export function etherTypeName(number: number): string | undefined {
  return BY_NUMBER.get(number);
}
