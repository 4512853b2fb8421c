/*
 * What the C peers share: psample messages as the kernel lays them out, libpsample's way of reading them
 * (mnl_attr_parse with a validating callback, then a getter for each field), sockets, and CPU time.
 *
 * All that is measured is CPU time of the whole process, from getrusage(2). Results are lines "NAME VALUE" on
 * standard error, because some of the peers measure standard output.
 */
#ifndef PEER_H
#define PEER_H
#define _GNU_SOURCE
#include <arpa/inet.h>
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

/* The fields of a sample that programs need. */
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

UNUSED static uint64_t now_ns(clockid_t clock)
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

/* The result for the messages, if the other side must have found the same. */
UNUSED static uint32_t found = 1;

/* Whether the bench wants another round: once warm, the program says so, and waits for a byte for each round. */
UNUSED static bool next_round(void)
{
	static bool ready;
	char word;

	if (!ready)
		fprintf(stderr, "ready %u\n", found);
	ready = true;
	return read(STDIN_FILENO, &word, 1) == 1;
}

/* Reports CPU time per message. */
UNUSED static void report(uint64_t start, uint32_t count)
{
	fprintf(stderr, "cpu %.1f\n", (double)(cpu_ns() - start) / count);
}

/* A message, and the offsets of what changes each time it is sent; see messages.ts. */
struct message {
	struct nlmsghdr *bytes;
	uint32_t sequence_at, step, timestamp_at;
};

/* The messages of a file, and which of them is next. */
struct messages {
	struct message *all;
	uint32_t count, next;
};

UNUSED static struct messages load_messages(const char *path)
{
	struct messages messages = { 0 };
	FILE *file = fopen(path, "r");
	uint32_t head[4];

	if (!file)
		fail(path);
	while (fread(head, sizeof(head), 1, file) == 1) {
		struct message message = { malloc(MNL_ALIGN(head[0])), head[1], head[2], head[3] };

		if (fread(message.bytes, MNL_ALIGN(head[0]), 1, file) != 1)
			fail(path);
		if (!(messages.count & (messages.count - 1)))
			messages.all = realloc(messages.all, sizeof(message) * (messages.count ? 2 * messages.count : 1));
		messages.all[messages.count++] = message;
	}
	fclose(file);
	return messages;
}

UNUSED static struct message *next_message(struct messages *messages)
{
	struct message *message = &messages->all[messages->next];

	messages->next = messages->next + 1 == messages->count ? 0 : messages->next + 1;
	return message;
}

/* To be called when a message has been sent: the next time it has a later number. */
UNUSED static void renumber(struct message *message)
{
	if (message->sequence_at)
		*(uint32_t *)((char *)message->bytes + message->sequence_at) += message->step;
}

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

/* Reads all fields; `table` then contains the attributes that were present. */
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

/* A socket that needs no privilege: any process may send to its port. */
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

/* Queues up to `count` messages at `port`; returns how many. */
UNUSED static uint32_t fill(int fd, uint32_t port, struct messages *messages, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++) {
		struct message *message = next_message(messages);

		if (!send_to(fd, port, message->bytes, MSG_DONTWAIT))
			break;
		renumber(message);
	}
	return i;
}
#endif
