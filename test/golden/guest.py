#!/usr/bin/env python3
"""What record.sh needs inside the kernel beside ip and tc: exact frames, a listener, a tun device, Open vSwitch flows.

guest.py send DEVICE KIND [COUNT]   sends frames of a kind, as they are in KINDS; the IP identification counts from 1
guest.py listen READY               joins psample's two groups, makes the file READY, reads for ever
guest.py dump                       asks for psample's groups
guest.py tun NAME INDEX -- COMMAND  makes a tun device, runs COMMAND with it, then feeds it two packets
guest.py ovs                        makes a datapath with the port "a" and two flows that sample
guest.py keep FILE FAMILY           drops every message of other netlink families from a pcap
"""
import fcntl
import os
import socket
import struct
import subprocess
import sys

OURS, PEER = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
INNER_A, INNER_B = bytes.fromhex("020000000011"), bytes.fromhex("020000000012")


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def address(text):
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def pseudo(src, dst, protocol, length):
    return src + dst + (struct.pack("!BBH", 0, protocol, length) if len(src) == 4 else struct.pack("!IHBB", length, 0, 0, protocol))


def ip(src, dst, protocol, body, ident, tos=0, fragment=0):
    if len(src) == 16:
        return struct.pack("!IHBB", 6 << 28 | tos << 20, len(body), protocol, 64) + src + dst + body
    head = struct.pack("!BBHHHBBH4s4s", 0x45, tos, 20 + len(body), ident, fragment, 64, protocol, 0, src, dst)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def udp(src, dst, sport, dport, payload, ident, sum_it=True, **options):
    """An IP packet with a UDP datagram."""
    src, dst = address(src), address(dst)
    body = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload
    if sum_it:
        body = body[:6] + struct.pack("!H", checksum(pseudo(src, dst, 17, len(body)) + body) or 0xFFFF) + body[8:]
    return ip(src, dst, 17, body, ident, **options)


def ethernet(dst, src, kind, body):
    return dst + src + struct.pack("!H", kind) + body


def counting(length):
    return bytes(i & 0xFF for i in range(length))


def plain(ident, size=100, dport=5000):
    return udp("192.0.2.2", "192.0.2.1", 4000, dport, counting(size), ident)


def inner(ident):
    """What the tunnels carry: 10.0.0.2:4000 to 10.0.0.1:5000, 100 bytes."""
    return ethernet(INNER_A, INNER_B, 0x0800, udp("10.0.0.2", "10.0.0.1", 4000, 5000, counting(100), ident))


def vxlan(ident, sum_it, version=4):
    body = struct.pack("!II", 0x08000000, 42 << 8) + inner(ident)
    if version == 6:
        return ethernet(OURS, PEER, 0x86DD, udp("2001:db8::2", "2001:db8::1", 50000, 4789, body, ident, tos=0x10))
    return ethernet(OURS, PEER, 0x0800, udp("192.0.2.2", "192.0.2.1", 50000, 4789, body, ident, sum_it, tos=0x10))


def geneve(ident):
    options = bytes.fromhex("0102800100800022" + "01030302" + "0011223344556677")
    body = struct.pack("!BBHI", len(options) // 4, 0, 0x6558, 77 << 8) + options + inner(ident)
    return ethernet(OURS, PEER, 0x0800, udp("192.0.2.2", "192.0.2.1", 50001, 6081, body, ident, False, tos=0x10, fragment=0x4000))


def big(_ident):
    """One TCP segment of 65,160 bytes that the network card is to cut into pieces of 1448 bytes."""
    payload = counting(45 * 1448)
    src, dst = address("192.0.2.2"), address("192.0.2.1")
    half = ~checksum(pseudo(src, dst, 6, 20 + len(payload))) & 0xFFFF
    tcp = struct.pack("!HHIIBBHHH", 4000, 5000, 1, 1, 0x50, 0x18, 1024, half, 0)
    return ethernet(OURS, PEER, 0x0800, ip(src, dst, 6, tcp + payload, 1, fragment=0x4000))


KINDS = {
    "in": lambda n: ethernet(OURS, PEER, 0x0800, plain(n)),
    "small": lambda n: ethernet(OURS, PEER, 0x0800, plain(n, 18)),
    "out": lambda n: ethernet(PEER, OURS, 0x0800, udp("192.0.2.1", "192.0.2.2", 4000, 5000, counting(100), n)),
    "through": lambda n: ethernet(OURS, PEER, 0x0800, udp("192.0.2.2", "198.51.100.2", 4000, 5000, counting(100), n)),
    "port5001": lambda n: ethernet(OURS, PEER, 0x0800, plain(n, 100, 5001)),
    "vlan": lambda n: ethernet(OURS, PEER, 0x8100, struct.pack("!HH", 3 << 13 | 42, 0x0800) + plain(n)),
    "qinq": lambda n: ethernet(OURS, PEER, 0x88A8, struct.pack("!HHHH", 100, 0x8100, 42, 0x0800) + plain(n)),
    "experiment": lambda n: ethernet(OURS, PEER, 0x88B5, counting(100)),
    "inner": inner,
    "back": lambda n: ethernet(INNER_B, INNER_A, 0x0800, udp("10.0.0.1", "10.0.0.2", 5000, 4000, counting(100), n)),
    "vxlan": lambda n: vxlan(n, False),
    "vxlan-checksum": lambda n: vxlan(n, True),
    "vxlan6": lambda n: vxlan(n, True, 6),
    "geneve": geneve,
    "big": big,
}


def send(device, kind, count=1):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
        head = b""
        if kind == "big":
            out.setsockopt(263, 15, 1)  # SOL_PACKET, PACKET_VNET_HDR
            # needs a checksum, TCP over IPv4; header length, segment size, where the checksum starts and stands
            head = struct.pack("<BBHHHH", 1, 1, 54, 1448, 34, 16)
        out.bind((device, 0))
        for n in range(1, int(count) + 1):
            out.send(head + KINDS[kind](n))


# --- generic netlink ----------------------------------------------------------------------------


def attr(kind, value):
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def u32(value):
    return struct.pack("=I", value)


def attrs(data):
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += length + 3 & ~3


class Generic:
    def __init__(self):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16)
        self.socket.bind((0, 0))
        self.sequence = 0

    def ask(self, family, flags, command, version, body):
        self.sequence += 1
        self.socket.send(struct.pack("=IHHIIBBH", 20 + len(body), family, 1 | flags, self.sequence, 0, command, version, 0) + body)
        while True:
            data, at = self.socket.recv(1 << 17), 0
            while at < len(data):
                length, kind = struct.unpack_from("=IH", data, at)
                if kind == 2:
                    error = -struct.unpack_from("=i", data, at + 16)[0]
                    if error:
                        raise OSError(error, os.strerror(error))
                if not flags & 0x300 or kind == 3:
                    return data[at + 20 : at + length]
                at += length + 3 & ~3

    def family(self, name):
        reply = dict(attrs(self.ask(16, 0, 3, 1, attr(2, name.encode() + b"\0"))))
        groups = [dict(attrs(group)) for _, group in attrs(reply.get(7, b""))]
        return struct.unpack("=H", reply[1])[0], {g[1].rstrip(b"\0").decode(): struct.unpack("=I", g[2])[0] for g in groups}


def listen(ready):
    # the family is asked for on another socket: this one is to carry nothing but notifications
    _, groups = Generic().family("psample")
    listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16)
    listener.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_RCVBUFFORCE
    listener.bind((0, 0))
    for group in groups.values():
        listener.setsockopt(270, 1, group)
    open(ready, "w").close()
    while True:
        listener.recv(1 << 17)


def dump():
    generic = Generic()
    family, _ = generic.family("psample")
    generic.ask(family, 0x300, 1, 1, b"")


NESTED = 0x8000  # this action alone insists on the flag


def ovs():
    generic = Generic()
    datapath, _ = generic.family("ovs_datapath")
    port, _ = generic.family("ovs_vport")
    flow, _ = generic.family("ovs_flow")
    generic.ask(datapath, 4, 1, 2, struct.pack("=i", 0) + attr(1, b"dp\0") + attr(2, u32(0)) + attr(5, u32(0)))
    index = socket.if_nametoindex("dp")
    head = struct.pack("=i", index)
    generic.ask(port, 4, 1, 1, head + attr(1, u32(1)) + attr(2, u32(1)) + attr(3, b"a\0") + attr(5, u32(0)))

    def add(ether_type, more, actions):
        def key(number, kind):
            return attr(3, u32(number)) + attr(4, b"\0" * 12) + attr(6, struct.pack("!H", kind)) + more

        generic.ask(flow, 0x404, 1, 1, head + attr(1, key(1, ether_type)) + attr(2, actions) + attr(7, key(0xFFFFFFFF, 0xFFFF)))

    cookie = struct.pack("!II", 0x01000007, 42)
    psample = attr(25 | NESTED, attr(1, u32(30)) + attr(2, cookie))
    add(0x0800, attr(7, b"\0" * 12), attr(6, attr(1, u32(0x40000000)) + attr(2, psample)))
    add(0x88B5, b"", attr(13, u32(64)) + attr(25 | NESTED, attr(1, u32(31))))


def tun(name, index, _, *command):
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, 0x400454DA, struct.pack("=I", int(index)))  # TUNSETIFINDEX
    fcntl.ioctl(device, 0x400454CA, struct.pack("=16sH22x", name.encode(), 0x1001))  # TUNSETIFF, IFF_TUN without a head
    subprocess.run(command, check=True)
    os.write(device, plain(1))
    os.write(device, udp("2001:db8::2", "2001:db8::1", 4000, 5000, counting(100), 2))


def keep(path, family):
    data = open(path, "rb").read()
    out, at = data[:24], 24
    while at + 16 <= len(data):
        end = at + 16 + struct.unpack_from("<I", data, at + 8)[0]
        if struct.unpack_from("!H", data, at + 30)[0] == int(family):
            out += data[at:end]
        at = end
    open(path, "wb").write(out)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
