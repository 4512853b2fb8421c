/*
 * export PORT: an sFlow exporter as one writes it in C. It receives the kernel's own samples, one datagram at a time, and sends
 * them to a collector on this machine, until SIGINT or SIGTERM; a sample waits for at most a second. At the end: "received N",
 * "sent N datagrams".
 */
#include "family.h"
#include "sflow.h"
#include <poll.h>

static struct sflow sflow;
static volatile unsigned long received;

static void end(UNUSED int number)
{
	sflow_flush(&sflow);
	dprintf(STDERR_FILENO, "received %lu\nsent %lu datagrams\n", received, sflow.datagrams);
	_exit(0);
}

int main(int argc, char **argv)
{
	static char buffer[MESSAGE_MAX * 2];
	const struct nlattr *table[ATTRIBUTES];
	struct timeval second = { 1, 0 };
	struct sample sample;
	uint16_t type;
	struct mnl_socket *socket = join(buffer, sizeof(buffer), &type);
	uint64_t since = 0;

	sflow_open(&sflow, argc > 1 ? atoi(argv[1]) : 0);
	/* So that what is gathered is sent when nothing more comes. */
	setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
	end_by(end);
	for (;;) {
		ssize_t got = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
		const struct nlmsghdr *message = (const struct nlmsghdr *)buffer;
		int left = got;

		if (got < 0 && errno != EAGAIN)
			fail("recv");
		if (got < 0) {
			sflow_flush(&sflow);
			continue;
		}
		for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
			if (message->nlmsg_type != type || !parse(message, &sample, table))
				fail("parse");
			if (!sflow.samples)
				since = now_ns(CLOCK_MONOTONIC_COARSE);
			sflow_sample(&sflow, &sample);
			received++;
		}
		if (now_ns(CLOCK_MONOTONIC_COARSE) - since > 900000000)
			sflow_flush(&sflow);
	}
}
