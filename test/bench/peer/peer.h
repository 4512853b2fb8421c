/*
 * What the C peers share: psample messages as the kernel lays them out, libpsample's way of reading them
 * (mnl_attr_parse with a validating callback, then a getter for each field), sockets, and CPU time.
 *
 * All that is measured is CPU time of the whole process, from getrusage(2). Results are lines "NAME VALUE" on
 * standard error, because standard output is what some of the peers are about.
 */
#ifndef PEER_H
#define PEER_H
#define _GNU_SOURCE
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* include/uapi/linux/psample.h; not included, because older headers lack the newer attributes. */
enum {
	IIFINDEX, OIFINDEX, ORIGSIZE, SAMPLE_GROUP, GROUP_SEQ, SAMPLE_RATE, DATA, GROUP_REFCOUNT, TUNNEL, PAD, OUT_TC,
	OUT_TC_OCC, LATENCY, TIMESTAMP, PROTO, USER_COOKIE, SAMPLE_PROBABILITY, ATTRIBUTES,
};

#define UNUSED __attribute__((unused))
#define FAMILY 30
#define MESSAGE_MAX (64 * 1024)

/* What a program wants to know of a sample. */
struct sample {
	uint32_t group, sequence, rate, original_bytes, data_bytes;
	uint16_t in_ifindex, out_ifindex, out_tc, protocol;
	uint64_t timestamp, latency, out_tc_occupancy;
	const void *data;
};

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec time;
	clock_gettime(clock, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

/* CPU time of this process so far. */
UNUSED static uint64_t cpu_ns(void)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000ull + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000ull;
}

/* Whether the bench wants another round: what is warm says so, and waits for its word, a byte for each. */
UNUSED static bool next_round(void)
{
	static bool ready;
	char word;

	if (!ready)
		fprintf(stderr, "ready 1\n");
	ready = true;
	return read(STDIN_FILENO, &word, 1) == 1;
}

/* Reports CPU time per message. */
UNUSED static void report(uint64_t start, uint32_t count)
{
	fprintf(stderr, "cpu %.1f\n", (double)(cpu_ns() - start) / count);
}

/* A sample of `bytes` bytes as psample_sample_packet of net/psample/psample.c writes it, attributes in its order. */
UNUSED static struct nlmsghdr *build(void *buffer, uint32_t sequence, uint32_t bytes)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct genlmsghdr *generic;
	static unsigned char packet[MESSAGE_MAX];

	for (uint32_t i = 0; i < bytes; i++)
		packet[i] = i * 7;
	message->nlmsg_type = FAMILY;
	generic = mnl_nlmsg_put_extra_header(message, sizeof(*generic));
	generic->cmd = 0;
	generic->version = 1;
	mnl_attr_put_u16(message, IIFINDEX, 3);
	mnl_attr_put_u16(message, OIFINDEX, 4);
	mnl_attr_put_u32(message, SAMPLE_RATE, 1000);
	mnl_attr_put_u32(message, ORIGSIZE, 1514);
	mnl_attr_put_u32(message, SAMPLE_GROUP, 5);
	mnl_attr_put_u32(message, GROUP_SEQ, sequence);
	mnl_attr_put_u64(message, TIMESTAMP, now_ns(CLOCK_REALTIME));
	mnl_attr_put_u16(message, PROTO, 0x0800);
	mnl_attr_put(message, DATA, bytes, packet);
	return message;
}

#define MESSAGES 1024

/* So many different messages, one behind the other. */
UNUSED static const char *build_all(uint32_t bytes, uint32_t *stride)
{
	char *memory;

	*stride = build(malloc(MESSAGE_MAX * 2), 0, bytes)->nlmsg_len;
	memory = malloc(MESSAGES * *stride);
	for (uint32_t i = 0; i < MESSAGES; i++)
		build(memory + i * *stride, i, bytes);
	return memory;
}

/* Where `build` puts the values that differ from message to message. */
#define SEQUENCE_AT (20 + 5 * 8 + 4)
#define TIMESTAMP_AT (20 + 6 * 8 + 4)

static int validate(const struct nlattr *attr, void *data)
{
	const struct nlattr **table = data;
	int type = mnl_attr_get_type(attr);

	if (mnl_attr_type_valid(attr, ATTRIBUTES - 1) < 0)
		return MNL_CB_OK;
	switch (type) {
	case IIFINDEX: case OIFINDEX: case OUT_TC: case PROTO:
		if (mnl_attr_validate(attr, MNL_TYPE_U16) < 0)
			return MNL_CB_ERROR;
		break;
	case ORIGSIZE: case SAMPLE_GROUP: case GROUP_SEQ: case SAMPLE_RATE: case GROUP_REFCOUNT:
		if (mnl_attr_validate(attr, MNL_TYPE_U32) < 0)
			return MNL_CB_ERROR;
		break;
	case OUT_TC_OCC: case LATENCY: case TIMESTAMP:
		if (mnl_attr_validate(attr, MNL_TYPE_U64) < 0)
			return MNL_CB_ERROR;
		break;
	case DATA:
		if (mnl_attr_validate(attr, MNL_TYPE_BINARY) < 0)
			return MNL_CB_ERROR;
		break;
	}
	table[type] = attr;
	return MNL_CB_OK;
}

/* Reads all fields; which were there is left in `table`. */
UNUSED static bool parse(const struct nlmsghdr *message, struct sample *sample, const struct nlattr **table)
{
	memset(table, 0, ATTRIBUTES * sizeof(*table));
	if (mnl_attr_parse(message, sizeof(struct genlmsghdr), validate, table) < 0)
		return false;
	memset(sample, 0, sizeof(*sample));
	if (table[SAMPLE_GROUP])
		sample->group = mnl_attr_get_u32(table[SAMPLE_GROUP]);
	if (table[GROUP_SEQ])
		sample->sequence = mnl_attr_get_u32(table[GROUP_SEQ]);
	if (table[SAMPLE_RATE])
		sample->rate = mnl_attr_get_u32(table[SAMPLE_RATE]);
	if (table[ORIGSIZE])
		sample->original_bytes = mnl_attr_get_u32(table[ORIGSIZE]);
	if (table[IIFINDEX])
		sample->in_ifindex = mnl_attr_get_u16(table[IIFINDEX]);
	if (table[OIFINDEX])
		sample->out_ifindex = mnl_attr_get_u16(table[OIFINDEX]);
	if (table[OUT_TC])
		sample->out_tc = mnl_attr_get_u16(table[OUT_TC]);
	if (table[PROTO])
		sample->protocol = mnl_attr_get_u16(table[PROTO]);
	if (table[TIMESTAMP])
		sample->timestamp = mnl_attr_get_u64(table[TIMESTAMP]);
	if (table[LATENCY])
		sample->latency = mnl_attr_get_u64(table[LATENCY]);
	if (table[OUT_TC_OCC])
		sample->out_tc_occupancy = mnl_attr_get_u64(table[OUT_TC_OCC]);
	if (table[DATA]) {
		sample->data = mnl_attr_get_payload(table[DATA]);
		sample->data_bytes = mnl_attr_get_payload_len(table[DATA]);
	}
	return true;
}

/* Prints a sample as libpsample's tool does: what is there, and each line at once. */
UNUSED static void print_sample(const struct sample *sample, const struct nlattr **table)
{
	if (table[SAMPLE_GROUP])
		printf("group %u ", sample->group);
	if (table[IIFINDEX])
		printf("in-ifindex %u ", sample->in_ifindex);
	if (table[OIFINDEX])
		printf("out-ifindex %u ", sample->out_ifindex);
	if (table[ORIGSIZE])
		printf("origsize %u ", sample->original_bytes);
	if (table[SAMPLE_RATE])
		printf("sample-rate %u ", sample->rate);
	if (table[GROUP_SEQ])
		printf("seq %u ", sample->sequence);
	if (table[OUT_TC])
		printf("out-tc %u ", sample->out_tc);
	if (table[OUT_TC_OCC])
		printf("out-tc-occ %lu ", sample->out_tc_occupancy);
	if (table[LATENCY])
		printf("latency %lu ", sample->latency);
	if (table[TIMESTAMP]) {
		time_t seconds = sample->timestamp / 1000000000;
		char text[64];
		strftime(text, sizeof(text), "%a %b %d %H:%M:%S %Y", localtime(&seconds));
		printf("timestamp %s %09lu nsec ", text, sample->timestamp % 1000000000);
	}
	if (table[PROTO])
		printf("protocol 0x%x ", sample->protocol);
	printf("\n");
	fflush(stdout);
}

/* A socket that needs no privilege: whoever knows the port id may send to it. */
UNUSED static int open_socket(uint32_t *port)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	socklen_t size = sizeof(address);
	int one = 1, queue = 32 << 20;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_USERSOCK);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		fail("netlink socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &queue, sizeof(queue)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &queue, sizeof(queue));
	setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &one, sizeof(one));
	*port = address.nl_pid;
	return fd;
}

UNUSED static bool send_to(int fd, uint32_t port, const struct nlmsghdr *message, int flags)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_pid = port };
	ssize_t sent;

	do
		sent = sendto(fd, message, message->nlmsg_len, flags, (struct sockaddr *)&address, sizeof(address));
	while (sent < 0 && errno == EINTR);
	return sent >= 0;
}

/* Queues up to `count` messages at `port`, numbered on from `sequence`; returns how many. */
UNUSED static uint32_t fill(int fd, uint32_t port, struct nlmsghdr *message, uint32_t count, uint32_t sequence)
{
	uint32_t i;

	for (i = 0; i < count; i++) {
		*(uint32_t *)((char *)message + SEQUENCE_AT) = sequence + i;
		if (!send_to(fd, port, message, MSG_DONTWAIT))
			break;
	}
	return i;
}
#endif
