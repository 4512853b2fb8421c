/*
 * decode borrow|own FILE COUNT: CPU nanoseconds to parse one message and read all its fields, over the messages of a file, in
 * memory. "own": into a new struct, with a copy of the data.
 */
#include "own.h"

static uint32_t sum;

static void decode(struct messages *messages, bool own, uint32_t count)
{
	const struct nlattr *table[ATTRIBUTES];
	struct sample sample;

	for (uint32_t i = 0; i < count; i++) {
		const struct sample *read = &sample;

		if (!parse(next_message(messages)->bytes, &sample, table))
			fail("parse");
		if (own)
			read = keep(&sample);
		sum += read->sequence + read->timestamp + read->data_bytes;
	}
}

int main(int argc, char **argv)
{
	bool own = argc > 1 && !strcmp(argv[1], "own");
	struct messages messages = load_messages(argv[2]);
	uint32_t count = atoi(argv[3]);

	decode(&messages, own, count);
	while (next_round()) {
		uint64_t start = cpu_ns();

		decode(&messages, own, count);
		report(start, count);
	}
	fprintf(stderr, "sum %u\n", sum);
	return 0;
}
