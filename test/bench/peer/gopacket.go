// gopacket FILE COUNT: CPU nanoseconds to decode the headers of a packet by gopacket's DecodingLayerParser, over the packets in the
// messages of a file, in memory. Without IgnoreUnsupported it would make an error object for each packet, because of what follows TCP
// or UDP.
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// The headers of netlink and generic netlink, and the attribute PSAMPLE_ATTR_DATA; include/uapi/linux/psample.h.
const (
	headers   = 20
	attrData  = 6
	typeMask  = 0x3fff
	fileEntry = 16
)

// What is in a file is in the byte order of the host; Go's compilers for those that have gopacket are for little-endian ones.
var order = binary.LittleEndian

// CPU time of this process so far.
func cpuNs() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fail(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func align4(size int) int {
	return (size + 3) &^ 3
}

// The packets of a file; see messages.ts.
func load(path string) (packets [][]byte) {
	file, err := os.ReadFile(path)
	if err != nil {
		fail(err)
	}
	for at := 0; at < len(file); {
		size := int(order.Uint32(file[at:]))
		message := file[at+fileEntry : at+fileEntry+size]
		for attr := headers; attr+4 <= len(message); {
			length := int(order.Uint16(message[attr:]))
			if order.Uint16(message[attr+2:])&typeMask == attrData {
				packets = append(packets, message[attr+4:attr+length])
			}
			attr += align4(length)
		}
		at += fileEntry + align4(size)
	}
	return packets
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: see gopacket.go")
		os.Exit(2)
	}
	packets := load(os.Args[1])
	count, err := strconv.Atoi(os.Args[2])
	if err != nil {
		fail(err)
	}
	var (
		ethernet layers.Ethernet
		vlan     layers.Dot1Q
		ip4      layers.IPv4
		ip6      layers.IPv6
		tcp      layers.TCP
		udp      layers.UDP
	)
	parser := gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &ethernet, &vlan, &ip4, &ip6, &tcp, &udp)
	parser.IgnoreUnsupported = true
	decoded := make([]gopacket.LayerType, 0, 15)
	found, sum, next := 0, 0, 0
	for _, packet := range packets {
		if err := parser.DecodeLayers(packet, &decoded); err != nil {
			fail(err)
		}
		found += len(decoded)
		if decoded[len(decoded)-1] == layers.LayerTypeTCP {
			found += len(packet) - len(tcp.Payload) + int(tcp.DstPort)
		} else {
			found += len(packet) - len(udp.Payload) + int(udp.DstPort)
		}
	}
	decode := func() {
		for i := 0; i < count; i++ {
			if err := parser.DecodeLayers(packets[next], &decoded); err != nil {
				fail(err)
			}
			next++
			if next == len(packets) {
				next = 0
			}
			sum += len(decoded)
		}
	}
	decode()
	fmt.Fprintf(os.Stderr, "ready %d\n", found)
	for word := make([]byte, 1); ; {
		if n, _ := os.Stdin.Read(word); n != 1 {
			break
		}
		start := cpuNs()
		decode()
		fmt.Fprintf(os.Stderr, "cpu %.1f\n", float64(cpuNs()-start)/float64(count))
	}
	fmt.Fprintf(os.Stderr, "sum %d\n", sum)
}
