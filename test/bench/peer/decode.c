/* decode BYTES COUNT: CPU nanoseconds to parse one message and read all its fields, over many different messages in memory. */
#include "peer.h"

static uint32_t sum;

static void decode(const char *memory, uint32_t stride, uint32_t count)
{
	const struct nlattr *table[ATTRIBUTES];
	struct sample sample;

	for (uint32_t i = 0; i < count; i++) {
		if (!parse((const struct nlmsghdr *)(memory + i % MESSAGES * stride), &sample, table))
			fail("parse");
		sum += sample.sequence + sample.timestamp + sample.data_bytes;
	}
}

int main(int argc, char **argv)
{
	uint32_t count = atoi(argv[2]), stride;
	const char *memory = build_all(atoi(argv[1]), &stride);

	(void)argc;
	decode(memory, stride, count);
	while (next_round()) {
		uint64_t start = cpu_ns();

		decode(memory, stride, count);
		report(start, count);
	}
	fprintf(stderr, "sum %u\n", sum);
	return 0;
}
