/*
 * filter EXPRESSION FILE COUNT: CPU nanoseconds to decide by libpcap whether a packet matches, over the packets in the messages of a
 * file, in memory. The part of libpcap in use is declared here, so that its headers are not required.
 */
#include "peer.h"
#include <sys/time.h>

struct bpf_program {
	unsigned int length;
	void *instructions;
};

struct pcap_pkthdr {
	struct timeval time;
	uint32_t captured, length;
};

#define DLT_EN10MB 1
#define PCAP_NETMASK_UNKNOWN 0xffffffff

void *pcap_open_dead(int link_type, int snapshot_length);
int pcap_compile(void *pcap, struct bpf_program *program, const char *expression, int optimize, uint32_t netmask);
int pcap_offline_filter(const struct bpf_program *program, const struct pcap_pkthdr *header, const unsigned char *packet);

static uint32_t matches;

static void decide(const struct bpf_program *program, const struct sample *samples, uint32_t many, uint32_t count)
{
	for (uint32_t i = 0, next = 0; i < count; i++) {
		const struct sample *sample = &samples[next];
		struct pcap_pkthdr header = { .captured = sample->data_bytes, .length = sample->original_bytes };

		next = next + 1 == many ? 0 : next + 1;
		matches += pcap_offline_filter(program, &header, sample->data) != 0;
	}
}

int main(int argc, char **argv)
{
	struct messages messages = load_messages(argv[2]);
	struct sample *samples = calloc(messages.count, sizeof(*samples));
	uint32_t count = atoi(argv[3]);
	struct bpf_program program;

	if (argc < 4 || pcap_compile(pcap_open_dead(DLT_EN10MB, 65535), &program, argv[1], 1, PCAP_NETMASK_UNKNOWN) < 0)
		fail("pcap_compile");
	for (uint32_t i = 0; i < messages.count; i++) {
		const struct nlattr *table[ATTRIBUTES];

		if (!parse(messages.all[i].bytes, &samples[i], table))
			fail("parse");
	}
	decide(&program, samples, messages.count, count);
	while (next_round()) {
		uint64_t start = cpu_ns();

		decide(&program, samples, messages.count, count);
		report(start, count);
	}
	fprintf(stderr, "sum %u\n", matches);
	return 0;
}
