/* decode BYTES COUNT: CPU nanoseconds to parse one message and read all its fields, over many different messages in memory. */
#include "peer.h"

#define MESSAGES 1024

int main(int argc, char **argv)
{
	uint32_t bytes = atoi(argv[1]), count = atoi(argv[2]), sum = 0, stride;
	const struct nlattr *table[ATTRIBUTES];
	struct sample sample;
	uint64_t start = 0;
	char *memory;

	(void)argc;
	stride = build(malloc(MESSAGE_MAX * 2), 0, bytes)->nlmsg_len;
	memory = malloc(MESSAGES * stride);
	for (uint32_t i = 0; i < MESSAGES; i++)
		build(memory + i * stride, i, bytes);
	for (uint32_t i = 0; i < count + count / 10; i++) {
		if (i == count / 10)
			start = cpu_ns();
		if (!parse((struct nlmsghdr *)(memory + i % MESSAGES * stride), &sample, table))
			fail("parse");
		sum += sample.sequence + sample.timestamp + sample.data_bytes;
	}
	fprintf(stderr, "cpu %.1f\nsum %u\n", (double)(cpu_ns() - start) / count, sum);
	return 0;
}
