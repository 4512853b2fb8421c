/*
 * A receiver as one writes it in C. It prints CPU nanoseconds per message.
 *
 *   recv one|many|own FILE COUNT      its own full queue, in rounds; recv(2), recvmmsg(2) by 64, or recv(2) and each sample kept
 *   recv text|json FILE COUNT         as one, and each sample printed to a buffered standard output
 *   recv flushed FILE COUNT           as text, and each line flushed, as libpsample does
 *   recv sflow FILE COUNT             as one, and each sample sent as sFlow to a socket that nobody reads
 *   recv wait COUNT                   what somebody else sends to the port that it names, up to COUNT messages, blocking
 *   recv latency COUNT                as wait, and prints how long each message took, by its time stamp
 */
#include "own.h"
#include "print.h"
#include "sflow.h"

#define BATCH 64
#define OUTPUT_BUFFER (128 * 1024)

enum form { READ, OWN, TEXT, FLUSHED, JSON, SFLOW };

static struct sflow sflow;

static uint32_t sum;

static void take(const void *datagram, ssize_t size, enum form form, uint64_t *latency)
{
	const struct nlattr *table[ATTRIBUTES];
	const struct nlmsghdr *message = datagram;
	struct sample parsed;
	int left = size;

	for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
		const struct sample *sample = &parsed;

		if (message->nlmsg_type != FAMILY || !parse(message, &parsed, table))
			fail("parse");
		if (form == OWN)
			sample = keep(&parsed);
		sum += sample->sequence + sample->timestamp + sample->data_bytes;
		if (latency)
			*latency = now_ns(CLOCK_REALTIME) - sample->timestamp;
		if (form == TEXT || form == FLUSHED)
			print_text(sample, table);
		else if (form == JSON)
			print_json(message, sample, table);
		else if (form == SFLOW)
			sflow_sample(&sflow, sample);
		if (form == FLUSHED)
			fflush(stdout);
	}
}

static uint32_t receive_one(int fd, enum form form, uint64_t *latency)
{
	static char buffer[MESSAGE_MAX * 2];
	ssize_t size = recv(fd, buffer, sizeof(buffer), 0);

	if (size < 0)
		fail("recv");
	take(buffer, size, form, latency);
	return 1;
}

static uint32_t receive_many(int fd)
{
	static struct mmsghdr headers[BATCH];
	static struct iovec vectors[BATCH];
	static char *slots;
	int count;

	if (!slots) {
		slots = malloc(BATCH * 2 * MESSAGE_MAX);
		for (int i = 0; i < BATCH; i++) {
			vectors[i] = (struct iovec){ slots + i * 2 * MESSAGE_MAX, 2 * MESSAGE_MAX };
			headers[i].msg_hdr = (struct msghdr){ .msg_iov = &vectors[i], .msg_iovlen = 1 };
		}
	}
	count = recvmmsg(fd, headers, BATCH, MSG_DONTWAIT, NULL);
	if (count < 0)
		fail("recvmmsg");
	for (int i = 0; i < count; i++)
		take(vectors[i].iov_base, headers[i].msg_len, READ, NULL);
	return count;
}

static void drain(bool many, enum form form, const char *path, uint32_t count)
{
	struct messages messages = load_messages(path);
	uint32_t port, other;
	int fd = open_socket(&port), sender = open_socket(&other);
	bool warm = false;

	setvbuf(stdout, NULL, _IOFBF, OUTPUT_BUFFER);
	sflow_open(&sflow, 0);
	do {
		uint32_t queued = fill(sender, port, &messages, count), taken = 0;
		uint64_t start = cpu_ns();

		while (taken < queued)
			taken += many ? receive_many(fd) : receive_one(fd, form, NULL);
		fflush(stdout);
		sflow_flush(&sflow);
		if (warm)
			report(start, taken);
		warm = true;
	} while (next_round());
}

static const char *const forms[] = { "one", "own", "text", "flushed", "json", "sflow", "many" };

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
	return (left > right) - (left < right);
}

int main(int argc, char **argv)
{
	const char *work = argc > 1 ? argv[1] : "";

	for (unsigned form = 0; form < sizeof(forms) / sizeof(*forms); form++)
		if (!strcmp(work, forms[form]) && argc == 4) {
			bool many = form > SFLOW;
			drain(many, many ? READ : form, argv[2], atoi(argv[3]));
			fprintf(stderr, "sum %u\n", sum);
			return 0;
		}
	if ((!strcmp(work, "wait") || !strcmp(work, "latency")) && argc == 3) {
		bool latency = work[0] == 'l';
		uint32_t count = atoi(argv[2]), port;
		uint64_t *took = calloc(count, sizeof(*took)), start = 0;
		int fd = open_socket(&port);

		fprintf(stderr, "port %u\n", port);
		/* After the first tenth: the start is not measured. */
		for (uint32_t i = 0; i < count; i++) {
			if (i == count / 10)
				start = cpu_ns();
			receive_one(fd, READ, latency ? &took[i] : NULL);
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
