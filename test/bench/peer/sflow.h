/*
 * sFlow version 5 as one writes it in C: a flow sample with the sampled header (record 1) for each sample, in datagrams of
 * 1400 bytes, each sent by sendto(2) when the next sample does not fit. Source: sflow.org, sflow_version_5.txt, section 5.
 */
#ifndef SFLOW_H
#define SFLOW_H
#include "peer.h"
#include <arpa/inet.h>
#include <netinet/in.h>

#define DATAGRAM_MAX 1400
#define HEADER_MAX 128
/* What a flow sample takes besides the packet's bytes. */
#define FLOW_SAMPLE (10 * 4 + 6 * 4)
#define SOURCES 65536
#define INTERNAL 0x3fffffff

struct sflow {
	int fd;
	struct sockaddr_in collector;
	uint32_t datagram[DATAGRAM_MAX / 4];
	unsigned words, samples;
	uint32_t sequence, sequences[SOURCES], pools[SOURCES];
	uint64_t started_ns;
	unsigned long datagrams;
};

static void put(struct sflow *sflow, uint32_t word)
{
	sflow->datagram[sflow->words++] = htonl(word);
}

/* To a port of this machine; 0 is a socket of this process that is never read. */
UNUSED static void sflow_open(struct sflow *sflow, uint16_t port)
{
	socklen_t size = sizeof(sflow->collector);
	int other;

	sflow->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	sflow->collector = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (!port) {
		other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (bind(other, (struct sockaddr *)&sflow->collector, size) < 0 || getsockname(other, (struct sockaddr *)&sflow->collector, &size) < 0)
			fail("bind");
	}
	if (sflow->fd < 0)
		fail("socket");
	sflow->started_ns = now_ns(CLOCK_MONOTONIC);
}

/* Sends what is gathered. */
UNUSED static void sflow_flush(struct sflow *sflow)
{
	if (!sflow->samples)
		return;
	sflow->datagram[4] = htonl(++sflow->sequence);
	sflow->datagram[5] = htonl((now_ns(CLOCK_MONOTONIC) - sflow->started_ns) / 1000000);
	sflow->datagram[6] = htonl(sflow->samples);
	if (sendto(sflow->fd, sflow->datagram, sflow->words * 4, 0, (struct sockaddr *)&sflow->collector, sizeof(sflow->collector)) < 0)
		fail("sendto");
	sflow->datagrams++;
	sflow->words = sflow->samples = 0;
}

UNUSED static void sflow_sample(struct sflow *sflow, const struct sample *sample)
{
	uint32_t bytes = sample->data_bytes < HEADER_MAX ? sample->data_bytes : HEADER_MAX;
	uint32_t padded = (bytes + 3) & ~3u;
	uint16_t source = sample->out_ifindex ? sample->out_ifindex : sample->in_ifindex;

	if (sflow->samples && sflow->words * 4 + FLOW_SAMPLE + padded > DATAGRAM_MAX)
		sflow_flush(sflow);
	if (!sflow->samples) {
		put(sflow, 5);
		put(sflow, 1);
		put(sflow, 0xc0000201);
		put(sflow, 0);
		/* Sequence number, uptime, number of samples: when it is sent. */
		sflow->words += 3;
	}
	sflow->samples++;
	put(sflow, 1);
	put(sflow, FLOW_SAMPLE - 2 * 4 + padded);
	put(sflow, ++sflow->sequences[source]);
	put(sflow, source);
	put(sflow, sample->rate);
	put(sflow, sflow->pools[source] += sample->rate);
	put(sflow, 0);
	put(sflow, sample->in_ifindex ? sample->in_ifindex : INTERNAL);
	put(sflow, sample->out_ifindex);
	put(sflow, 1);
	put(sflow, 1);
	put(sflow, 4 * 4 + padded);
	put(sflow, 1);
	put(sflow, sample->original_bytes + 4);
	put(sflow, 4);
	put(sflow, bytes);
	sflow->datagram[sflow->words + padded / 4 - (padded > 0)] = 0;
	memcpy(&sflow->datagram[sflow->words], sample->data, bytes);
	sflow->words += padded / 4;
}
#endif
