#!/usr/bin/python3
"""Runs the tc commands of a scenario as root on a kernel with nlmon, and writes beside each the netlink messages that it caused.

    record.py SCENARIO DIRECTORY

It makes its own devices first, so run it in a fresh network namespace or a kernel of its own. A line "! COMMAND" runs
without being recorded, "#file NAME" begins a file. The dumps of the link table with which tc begins are left out:
they are in links.hex, once.
"""
import select
import shlex
import socket
import struct
import subprocess
import sys

RTM_NEWLINK, RTM_GETLINK = 16, 18

DEVICES = """
ip link add d0 type dummy
ip link add d1 type dummy
ip link add big index 70001 type dummy
ip link add abcdefghijklmno index 65539 type dummy
ip link add v0 type veth peer name v1
ip link add wg0 type wireguard
ip link add gre9 type gretap key 1 local 10.9.0.1 remote 10.9.0.2
ip link add l3gre type gre key 2 local 10.9.0.1 remote 10.9.0.2
ip link add vx type vxlan dstport 4789 external
ip link add ipip7 type ipip local 10.9.0.1 remote 10.9.0.2
ip link set d0 up mtu 9000 alias 'uplink, port 7'
ip link property add dev d0 altname enp-very-long-name-of-d0
ip netns add far
ip link set v1 netns far
ip addr add 10.9.0.1/24 dev v0
ip link set v0 up
ip -n far addr add 10.9.0.2/24 dev v1
ip -n far link set v1 up
ip link add nlmon0 type nlmon
ip link set nlmon0 up
"""


def drain(tap):
    frames = []
    while select.select([tap], [], [], 0.02)[0]:
        data, address = tap.recvfrom(1 << 20)
        if address[1] == 0:  # NETLINK_ROUTE
            frames.append(data)
    return frames


def shell(command):
    done = subprocess.run(command, shell=True, capture_output=True)
    if done.returncode:
        print("failed:", command, done.stderr.decode(), file=sys.stderr)


def record(command, tap, out, links=False):
    drain(tap)
    done = subprocess.run(shlex.split(command), capture_output=True)
    out.write(f"$ {command}\n? {done.returncode}\n")
    skip = None
    for frame in drain(tap):
        _, kind, _, sequence, port = struct.unpack_from("=IHHII", frame)
        if not links:
            if kind == RTM_GETLINK:
                skip = sequence
            if sequence == skip:
                continue
        # Requests carry no port id, answers that of the socket which asked.
        out.write(("< " if port else "> ") + frame.hex() + "\n")
    for mark, text in (("|", done.stdout.decode()), ("!", done.stderr.decode())):
        if text:
            text = text[:-1] if text.endswith("\n") else text + "\\"
            for line in text.split("\n"):
                out.write(f"{mark} {line}\n" if line else f"{mark}\n")
    out.write("\n")


def main(scenario, directory):
    for line in DEVICES.strip().splitlines():
        shell(line)
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    tap.bind(("nlmon0", 0))
    tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
    with open(f"{directory}/links.hex", "w") as out:
        record("ip -j link show", tap, out, links=True)
        record("ip -j link show dev big", tap, out, links=True)
        record("ip -j link show dev enp-very-long-name-of-d0", tap, out, links=True)
    out = None
    for line in open(scenario):
        line = line.strip()
        if line.startswith("#file "):
            out = open(f"{directory}/{line[6:]}", "w")
        elif line.startswith("!"):
            shell(line[1:])
        elif line:
            record(line, tap, out)


main(*sys.argv[1:])
