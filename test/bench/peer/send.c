/*
 * send PORT FILE COUNT RATE BURST [drop]: sends COUNT messages of a file to a port, RATE a second, BURST at a time. Time stamps
 * are true. If the receiver's queue is full it waits, so that all arrive; with "drop" it continues with the next one, as the kernel
 * does, except for the last, whose number shows what is missing. "late N" says how often the queue was full.
 */
#include "peer.h"

int main(int argc, char **argv)
{
	struct messages messages = load_messages(argv[2]);
	uint32_t port = atoi(argv[1]), count = atoi(argv[3]), burst = atoi(argv[5]), own, late = 0;
	double interval = 1e9 / atof(argv[4]);
	int fd = open_socket(&own);
	bool drop = argc > 6;
	uint64_t start = now_ns(CLOCK_MONOTONIC);

	for (uint32_t i = 0; i < count; i++) {
		struct message *message = next_message(&messages);

		if (i % burst == 0) {
			uint64_t due = start + (uint64_t)(i * interval);
			struct timespec time = { due / 1000000000, due % 1000000000 };
			clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
		}
		if (message->timestamp_at)
			*(uint64_t *)((char *)message->bytes + message->timestamp_at) = now_ns(CLOCK_REALTIME);
		if (!send_to(fd, port, message->bytes, MSG_DONTWAIT)) {
			late++;
			if ((!drop || i == count - 1) && !send_to(fd, port, message->bytes, 0))
				fail("send");
		}
		renumber(message);
	}
	fprintf(stderr, "late %u\n", late);
	return 0;
}
