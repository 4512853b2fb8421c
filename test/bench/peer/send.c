/*
 * send PORT BYTES COUNT RATE BURST: sends COUNT samples to a port, RATE a second, BURST at a time.
 * Timestamps are true, numbers count from 0. Where the receiver's queue is full it waits, so that all arrive;
 * "late N" says how often.
 */
#include "peer.h"

int main(int argc, char **argv)
{
	uint32_t port = atoi(argv[1]), bytes = atoi(argv[2]), count = atoi(argv[3]), burst = atoi(argv[5]), own, late = 0;
	double interval = 1e9 / atof(argv[4]);
	struct nlmsghdr *message = build(malloc(MESSAGE_MAX * 2), 0, bytes);
	int fd = open_socket(&own);
	uint64_t start = now_ns(CLOCK_MONOTONIC);

	(void)argc;
	for (uint32_t i = 0; i < count; i++) {
		if (i % burst == 0) {
			uint64_t due = start + (uint64_t)(i * interval);
			struct timespec time = { due / 1000000000, due % 1000000000 };
			clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
		}
		*(uint32_t *)((char *)message + SEQUENCE_AT) = i;
		*(uint64_t *)((char *)message + TIMESTAMP_AT) = now_ns(CLOCK_REALTIME);
		if (send_to(fd, port, message, MSG_DONTWAIT))
			continue;
		late++;
		if (!send_to(fd, port, message, 0))
			fail("send");
	}
	fprintf(stderr, "late %u\n", late);
	return 0;
}
