/*
 * A receiver as one writes it in C. It prints CPU nanoseconds per message.
 *
 *   recv drain one|many BYTES COUNT   its own full queue, in rounds; recv(2) or recvmmsg(2) by 64
 *   recv print BYTES COUNT            as drain one, and each sample printed as libpsample does
 *   recv wait COUNT                   what somebody else sends to the port that it names, up to COUNT messages, blocking
 *   recv latency COUNT                as wait, and prints how long each message took, by its timestamp
 */
#include "peer.h"

#define BATCH 64

static uint32_t sum;

static void take(const void *datagram, ssize_t size, bool print, uint64_t *latency)
{
	const struct nlattr *table[ATTRIBUTES];
	const struct nlmsghdr *message = datagram;
	struct sample sample;
	int left = size;

	for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
		if (message->nlmsg_type != FAMILY || !parse(message, &sample, table))
			fail("parse");
		sum += sample.sequence + sample.timestamp + sample.data_bytes;
		if (latency)
			*latency = now_ns(CLOCK_REALTIME) - sample.timestamp;
		if (print)
			print_sample(&sample, table);
	}
}

static uint32_t receive_one(int fd, bool print, uint64_t *latency)
{
	static char buffer[MESSAGE_MAX * 2];
	ssize_t size = recv(fd, buffer, sizeof(buffer), 0);

	if (size < 0)
		fail("recv");
	take(buffer, size, print, latency);
	return 1;
}

static uint32_t receive_many(int fd)
{
	static struct mmsghdr headers[BATCH];
	static struct iovec vectors[BATCH];
	static char *slots;
	int count;

	if (!slots) {
		slots = malloc(BATCH * MESSAGE_MAX);
		for (int i = 0; i < BATCH; i++) {
			vectors[i] = (struct iovec){ slots + i * MESSAGE_MAX, MESSAGE_MAX };
			headers[i].msg_hdr = (struct msghdr){ .msg_iov = &vectors[i], .msg_iovlen = 1 };
		}
	}
	count = recvmmsg(fd, headers, BATCH, MSG_DONTWAIT, NULL);
	if (count < 0)
		fail("recvmmsg");
	for (int i = 0; i < count; i++)
		take(vectors[i].iov_base, headers[i].msg_len, false, NULL);
	return count;
}

static void drain(bool many, bool print, uint32_t bytes, uint32_t count)
{
	uint32_t port, other, sequence = 0;
	int fd = open_socket(&port), sender = open_socket(&other);
	struct nlmsghdr *message = build(malloc(MESSAGE_MAX * 2), 0, bytes);

	do {
		uint32_t queued = fill(sender, port, message, count, sequence), taken = 0;
		uint64_t start = cpu_ns();

		while (taken < queued)
			taken += many ? receive_many(fd) : receive_one(fd, print, NULL);
		/* The first round warms up. */
		if (sequence > 0)
			report(start, taken);
		sequence += queued;
	} while (next_round());
}

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
	return (left > right) - (left < right);
}

int main(int argc, char **argv)
{
	const char *work = argc > 1 ? argv[1] : "";

	if (!strcmp(work, "drain") && argc == 5) {
		drain(!strcmp(argv[2], "many"), false, atoi(argv[3]), atoi(argv[4]));
	} else if (!strcmp(work, "print") && argc == 4) {
		drain(false, true, atoi(argv[2]), atoi(argv[3]));
	} else if ((!strcmp(work, "wait") || !strcmp(work, "latency")) && argc == 3) {
		bool latency = work[0] == 'l';
		uint32_t count = atoi(argv[2]), port;
		uint64_t *took = calloc(count, sizeof(*took)), start = 0;
		int fd = open_socket(&port);

		fprintf(stderr, "port %u\n", port);
		/* From the first tenth on: the start is not what is measured. */
		for (uint32_t i = 0; i < count; i++) {
			if (i == count / 10)
				start = cpu_ns();
			receive_one(fd, false, latency ? &took[i] : NULL);
		}
		report(start, count - count / 10);
		qsort(took, count, sizeof(*took), compare);
		if (latency)
			fprintf(stderr, "p50 %lu\np99 %lu\n", took[count / 2], took[count - 1 - count / 100]);
	} else {
		fprintf(stderr, "usage: see recv.c\n");
		return 2;
	}
	fprintf(stderr, "sum %u\n", sum);
	return 0;
}
