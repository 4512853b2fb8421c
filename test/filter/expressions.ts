/** Expressions of pcap-filter(7), for comparison with libpcap. */

const TERMS = `
ip; ip6; arp; rarp; tcp; udp; sctp; icmp; icmp6; igmp; igrp; pim; vrrp; ah; esp; stp
host 10.0.0.1; src host 192.0.2.7; dst host 10.0.0.1; src or dst host 10.0.0.1; src and dst host 10.0.0.1; host 10.0; host 192.0.2.7 or 10.0.0.2
src 10.0.0.1; dst 10.0.0.1; src or dst 10.0.0.2; ip host 10.0.0.1; arp host 10.0.0.1; rarp host 10.0.0.1; ip src 192.0.2.7; arp src host 10.0.0.1
host 2001:db8::7; src host 2001:db8::7; dst host ff02::1; ip6 host 2001:db8::7; ip6 src host ff02::1; host ::1; dst ff02::1
net 10; net 10.1; net 10.0.0.0/8; src net 10.0.0.0/16; dst net 192.0.2.0/24; net 10.1.2; net 192.0.2.0 mask 255.255.255.0; net 10.0.0.0/31
net 0.0.0.0/0; net 10.0/9; ip net 10.0.0.0/8; arp net 10.0.0.0/8; net 2001:db8::/32; src net 2001:db8::/33; net ff00::/12; net ::/0; ip6 dst net ff00::/8
net 0; net 1; net 655370; host 167772161
port 80; port 443; tcp port http; udp port domain; src port 443; dst port 80; src or dst port 443; src and dst port 53; tcp port 80; udp port 53; sctp port 80
tcp src port 443; tcp dst port 443; udp src port 53; sctp dst port 80; port 80 or 443; port 80 and not 443; port (80 or 443); port 0x50; port 0120
portrange 50-100; portrange 443-80; tcp portrange 440-450; src portrange 50-60; udp dst portrange 1-79; portrange 80; portrange 0-65535
ip proto 6; ip proto \\tcp; ip proto \\udp; ip6 proto 6; ip6 proto \\udp; proto 17; proto \\icmp; ip6 proto 44; ip proto 47; proto 0; ip6 proto 0
ether proto 0x800; ether proto \\arp; ether proto \\ip6; ether proto 0x88cc; ether proto 0x42; ether proto 0xfe; ether proto 0x06; ether proto 0xaa; ether proto 1500; ether proto 1501
ether host 02:00:00:00:00:01; ether src 02:00:00:00:00:02; ether dst host 02:00:00:00:00:01; ether src or dst 02:00:00:00:00:02; ether host 2-0-0-0-0-1
ether host 0200.0000.0001; ether src host 020000000002; ether src and dst 02:00:00:00:00:01; broadcast; ether broadcast; multicast; ether multicast; ip multicast; ip6 multicast
less 60; greater 100; len > 70; len <= 80; len = 66; len != 66; len >= 1000; len - 14 > 60; 60 < len; len * 2 > 150; len / 2 < 40; len % 7 = 3; len ^ 1 = 67; len << 2 > 300; len >> 3 = 8
vlan; vlan 5; vlan 7; vlan 100; mpls; mpls 5; mpls 6; vlan and tcp; vlan and vlan 5; vlan 100 and vlan 5 and port 443; vlan and host 10.0.0.1; mpls and host 10.0.0.1
mpls and port 443; mpls 5 and mpls 6; mpls and mpls and tcp; tcp and vlan; not vlan and tcp; vlan or tcp; tcp or vlan; (vlan 5) or (vlan and ip6); vlan and arp; mpls and ip6; mpls and tcp port 80
vlan and ether[0] & 1 = 0; vlan and ip[8] < 10; vlan 5 and tcp[13] & 2 != 0; mpls and ip[8] > 3
tcp[13] & 2 != 0; tcp[tcpflags] & (tcp-syn|tcp-fin) != 0; tcp[tcpflags] & tcp-syn == tcp-syn; tcp[tcpflags] = tcp-syn; tcp[0:2] = 443; tcp[2:2] > 1024; tcp[4:4] = 0x80000
tcp[12] >> 4 = 5; tcp[(tcp[12] & 0xf0) >> 2] = 0; udp[0:2] = 53; udp[4:2] - 8 > 0; sctp[0:2] = 2905; icmp[icmptype] = icmp-echo; icmp[icmpcode] = 1; icmp[0] != 8
icmp6[icmp6type] = icmp6-echo; icmp6[0] = 143; icmp6[icmp6code] = 0; igmp[0] = 0x16; pim[0] = 0x20; vrrp[0] = 0x21; ip[8] < 6; ip[0] & 0xf != 5; ip[6:2] & 0x1fff = 0
ip[2:2] > 40; ip[12:4] = 0x0a000001; ip[16] = 10; ip[0] & 0xf > 5; ip6[6] = 6; ip6[7] = 64; ip6[40] = 0x3a; ip6[6:1] = 58 and ip6[40] = 128; arp[6:2] = 1; rarp[7] = 3; arp[14:4] = 0x0a000001
ether[0] & 1 = 1; ether[12:2] = 0x800; ether[6:4] = 0x02000000; link[0] = 2; ether[60] = 0; ether[100] = 1; ether[1:4] != 0; ether[len - 1] = 0; ether[ip[0] & 0xf] = 0
ip[ip[0] & 0xf] > 1; tcp[0 - 1] = 1; ip[0 - 1] = 0; tcp[ip[8]] = 0; -len + 100 < 40; len & 3 | 1 = 1; 1 | 6 ^ 3 = 5 and tcp; 2 * 7 % 4 = 6 and udp; 7 % 4 * 2 = 7; (len + 4) > 70
ip[8] = ip[9]; tcp[0:2] > tcp[2:2]; ip[9] + ip[8] = 11; ip[9] - ip[8] > 0; ip[2:2] / ip[8] > 8; len / ip[1] = 1; len % ip[6] = 0; 1 << ip[8] = 32; 1 << len = 0
`.trim().split(/[;\n] */);

const JOINED = `
tcp port 443 and net 10.0.0.0/8
host 10.0.0.1 and not udp
tcp or udp and port 53
tcp and port 80 or udp
not tcp
not (tcp or udp)
! arp
!tcp && !udp
not not tcp
not port 443
not host 10.0.0.1 and ip
host 10.0.0.1 and 192.0.2.7
host 10.0.0.1 or not 192.0.2.7
src host 192.0.2.7 and dst port 51514
(tcp or udp) and (port 53 or port 80)
tcp and (tcp[13] & 2 != 0 or port 80)
ip or ip6 or arp
ip and ip6
tcp and not ip6
icmp or icmp6
ether host 02:00:00:00:00:01 and tcp
ether src 02:00:00:00:00:02 and not arp and not stp
len > 60 and len < 100
tcp and len < 60 or arp
ether[100] = 1 or tcp
tcp or ether[100] = 1
tcp and not ether[100] = 1
not ether[100] = 1
ip[40] = 0 or ip
port 53 or ip[70] = 0
((((tcp))))
host (10.0.0.1 or 192.0.2.7)
host (10.0.0.1 or 192.0.2.7) and tcp
src net 10.0.0.0/8 or 192.0.2.0/24
dst portrange 1-1023 or 51000-52000
tcp port http or https or domain
tcp src port 443 or 80
ip host 10.0.0.1 && ip proto 6
ip multicast or ip6 multicast
vlan 5 or vlan 7
vlan and (port 443 or port 53)
vlan and vlan
(vlan and tcp) or (udp)
tcp port 443 or vlan and port 443
(len - 20) / 2 > 20
ip[2:2] - ((ip[0] & 0xf) << 2) - ((tcp[12] & 0xf0) >> 2) != 0
`.trim().split("\n");

const PARTNERS = ["tcp", "not udp", "net 10.0.0.0/8", "port 443", "ip6", "len > 66", "tcp[13] & 2 != 0", "vlan"];

/** At least 300 of them. */
export const EXPRESSIONS: readonly string[] = [
  ...new Set([
    ...TERMS,
    ...JOINED,
    ...PARTNERS.flatMap((left) => PARTNERS.flatMap((right) => left === right ? [] : [`${left} and ${right}`, `${left} or not ${right}`])),
  ]),
];
