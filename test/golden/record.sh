#!/usr/bin/env bash
# Records what real kernels send: test/golden/<scene>.<kernel>.pcap, netlink messages as nlmon sees them.
#
#   record.sh [new|old] [SCENE]...     boots the kernel(s) and records the scenes, by default all
#
# README.md beside this script says what each scene sets. Needs tcpdump, dumpcap and python3.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
scenes=(ingress egress forward trunc0 trunc1 trunc13 trunc64 rate100 two-groups gso vlan tun vxlan4 vxlan6 geneve groups mixed)
only_new=(cookie ovs)

if [[ -z ${PSAMPLE_GUEST-} ]]; then
  kernels=(new old)
  [[ ${1-} != new && ${1-} != old ]] || { kernels=("$1"); shift; }
  for kernel in "${kernels[@]}"; do
    "$here/../kernel/boot" "$kernel" -w "$here" -t 900 -- "$here/record.sh" "$@"
  done
  exit
fi

# --- from here on inside the kernel ---------------------------------------------------------------

kernel=$PSAMPLE_GUEST
guest() { /usr/bin/python3 "$here/guest.py" "$@"; }
peer() { ip netns exec peer "$@"; }
peer_sends() { peer /usr/bin/python3 "$here/guest.py" send "$@"; }

# pair  a (index 101) here and b (102) in the namespace "peer", without any traffic of their own
pair() {
  ip netns add peer
  peer sysctl -qw net.ipv6.conf.{all,default}.disable_ipv6=1
  ip link add name a index 101 address 02:00:00:00:00:01 type veth peer name b index 102 address 02:00:00:00:00:02 netns peer
  ip address add 192.0.2.1/24 dev a
  peer ip address add 192.0.2.2/24 dev b
  ip link set dev a up
  peer ip link set dev b up
  ip neighbour add 192.0.2.2 lladdr 02:00:00:00:00:02 dev a
  peer ip neighbour add 192.0.2.1 lladdr 02:00:00:00:00:01 dev b
}

# sample DEVICE DIRECTION MATCH... action sample ...
sample() {
  local device=$1 direction=$2
  shift 2
  tc qdisc show dev "$device" | grep -q clsact || tc qdisc add dev "$device" clsact
  tc filter add dev "$device" "$direction" "$@"
}

# start [dumpcap]  records, and has somebody listen: without a listener the kernel sends no sample
start() {
  ip link add name nlmon0 index 199 type nlmon
  ip link set dev nlmon0 up
  : >/tmp/recorder
  if [[ ${1-} == dumpcap ]]; then
    dumpcap -q -P -i nlmon0 -w "$file" 2>/tmp/recorder &
  else
    tcpdump -q -n -Z root -U --immediate-mode -i nlmon0 -w "$file" 2>/tmp/recorder &
  fi
  recorder=$!
  until grep -qE 'listening on|^File:' /tmp/recorder && [[ -s $file ]]; do sleep 0.1; done
  rm -f /tmp/ready
  guest listen /tmp/ready &
  listener=$!
  until [[ -e /tmp/ready ]]; do sleep 0.1; done
}

stop() {
  sleep 0.5
  kill "$listener"
  kill -INT "$recorder"
  wait "$listener" "$recorder" 2>/dev/null || true
  [[ ${1-} == all ]] || guest keep "$file" 16
  chmod 644 "$file"
}

ingress() {
  pair
  sample a ingress matchall action sample rate 1 group 1
  start
  peer_sends b in 3
  peer ping -q -c 2 -i 0.2 -s 56 192.0.2.1 >/dev/null
  stop
}

egress() {
  pair
  sample a egress matchall action sample rate 1 group 2
  start
  guest send a out 3
  stop
}

forward() {
  pair
  ip netns add right
  ip netns exec right sysctl -qw net.ipv6.conf.{all,default}.disable_ipv6=1
  ip link add name c index 103 address 02:00:00:00:00:03 type veth peer name d index 104 address 02:00:00:00:00:04 netns right
  ip address add 198.51.100.1/24 dev c
  ip link set dev c up
  ip netns exec right ip link set dev d up
  ip neighbour add 198.51.100.2 lladdr 02:00:00:00:00:04 dev c
  sysctl -qw net.ipv4.ip_forward=1
  sample c egress matchall action sample rate 1 group 3
  start
  peer_sends b through 3
  stop
}

truncated() {
  pair
  sample a ingress matchall action sample rate 1 group 4 trunc "$1"
  start
  peer_sends b in 2
  stop
}
trunc0() { truncated 0; }
trunc1() { truncated 1; }
trunc13() { truncated 13; }
trunc64() { truncated 64; }

rate100() {
  pair
  sample a ingress matchall action sample rate 100 group 5
  start
  peer_sends b small 2000
  stop
}

two-groups() {
  pair
  sample a ingress matchall action sample rate 1 group 11 action sample rate 1 group 4000000000 trunc 32
  start
  peer_sends b in 3
  stop
}

gso() {
  pair
  sample a ingress matchall action sample rate 1 group 6
  start
  peer_sends b big
  stop
}

vlan() {
  pair
  sample a ingress matchall action sample rate 1 group 7
  start
  peer_sends b vlan
  peer_sends b qinq
  stop
}

tun() {
  start
  guest tun tun0 110 -- bash -ec 'ip link set dev tun0 up; tc qdisc add dev tun0 clsact
    tc filter add dev tun0 ingress matchall action sample rate 1 group 9'
  stop
}

# tunnel KIND SOURCE DESTINATION KEY...  a collect-metadata device (index 120) that samples both ways
tunnel() {
  local kind=$1 port=$2 source=$3 destination=$4
  shift 4
  ip link add name "${kind}0" index 120 address 02:00:00:00:00:11 type "$kind" external dstport "$port"
  ip link set dev "${kind}0" up
  sample "${kind}0" ingress matchall action sample rate 1 group 20
  sample "${kind}0" egress matchall action tunnel_key set src_ip "$source" dst_ip "$destination" dst_port "$port" "$@" \
    pipe action sample rate 1 group 21
}

vxlan4() {
  pair
  tunnel vxlan 4789 192.0.2.1 192.0.2.2 id 43 tos 0x20 ttl 33
  start
  peer_sends b vxlan
  peer_sends b vxlan-checksum
  guest send vxlan0 back
  stop
}

vxlan6() {
  pair
  sysctl -qw net.ipv6.conf.a.disable_ipv6=0
  ip address add 2001:db8::1/64 dev a nodad
  ip neighbour add 2001:db8::2 lladdr 02:00:00:00:00:02 dev a
  tunnel vxlan 4789 2001:db8::1 2001:db8::2 id 16777215 tos 0x20 ttl 33
  start
  peer_sends b vxlan6
  guest send vxlan0 back
  stop
}

geneve() {
  pair
  tunnel geneve 6081 192.0.2.1 192.0.2.2 id 78 tos 0x20 ttl 33 nocsum geneve_opts 0104:05:a1b2c3d4
  start
  peer_sends b geneve
  guest send geneve0 back
  stop
}

cookie() {
  pair
  sample a ingress protocol ip pref 1 flower ip_proto udp dst_port 5000 \
    action sample rate 1 group 13 index 1 cookie 000102030405060708090a0b0c0d0e0f
  sample a ingress protocol ip pref 2 flower ip_proto udp dst_port 5001 action sample rate 1 group 13 index 2 cookie ff
  start
  peer_sends b in
  peer_sends b port5001
  stop
}

ovs() {
  pair
  modprobe openvswitch
  guest ovs
  start
  peer_sends b small 40
  peer_sends b experiment 2
  stop
}

# a life of three groups; what the tc commands say to the kernel is left out by stop
groups() {
  pair
  start
  sample a ingress protocol ip pref 1 flower ip_proto udp dst_port 5000 action sample rate 1 group 101 index 1
  sample a ingress protocol ip pref 2 flower ip_proto udp dst_port 5001 action sample rate 1 group 102 index 2
  sample a egress protocol ip pref 1 flower ip_proto udp dst_port 5001 action sample rate 1 group 102 index 3
  sample a egress protocol ip pref 2 flower ip_proto udp dst_port 5002 action sample rate 1 group 4294967295 index 4
  peer_sends b in 2
  peer_sends b port5001 3
  guest dump
  tc filter del dev a ingress pref 1
  tc filter del dev a ingress pref 2
  tc filter del dev a egress pref 1
  tc filter del dev a egress pref 2
  sleep 0.2
  guest dump
  stop
}

mixed() {
  pair
  start dumpcap
  ip link show dev a >/dev/null
  sample a ingress matchall action sample rate 1 group 8
  peer_sends b small 2
  guest dump
  ip address show dev a >/dev/null
  tc qdisc del dev a clsact
  stop all
}

if [[ ${1-} == --scene ]]; then
  file=$here/$2.$kernel.pcap
  rm -f "$file"
  sysctl -qw net.ipv6.conf.{all,default}.disable_ipv6=1
  ip link set lo up
  "$2"
  ip netns delete peer 2>/dev/null || true
  ip netns delete right 2>/dev/null || true
  exit
fi

(($#)) || { set -- "${scenes[@]}"; [[ $kernel == old ]] || set -- "$@" "${only_new[@]}"; }
modprobe -a psample act_sample nlmon tun
for scene; do
  unshare --net "$here/record.sh" --scene "$scene" || { echo "record.sh: $scene failed on $(uname -r)" >&2; ip netns delete peer 2>/dev/null || true; failed=1; }
  stat -c "%n %s" "$here/$scene.$kernel.pcap" | sed "s|$here/||"
done
exit "${failed-0}"
