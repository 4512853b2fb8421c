/*
 * psample: a receiver of the kernel's own samples as one writes it in C. It finds the family psample, joins its samples, and
 * prints each as libpsample's tool does, until SIGINT or SIGTERM. At the end: "received N".
 *
 * As in that tool the receive buffer is the default one, overflows are not reported, and one datagram is
 * received at a time.
 */
#include "family.h"
#include "print.h"

static volatile unsigned long received;

/* Here and not after the loop: a signal just before the wait would not end it. */
static void end(UNUSED int number)
{
	dprintf(STDERR_FILENO, "received %lu\n", received);
	_exit(0);
}

int main(void)
{
	static char buffer[MESSAGE_MAX * 2];
	const struct nlattr *table[ATTRIBUTES];
	struct sample sample;
	uint16_t type;
	struct mnl_socket *socket = join(buffer, sizeof(buffer), &type);

	end_by(end);
	for (;;) {
		ssize_t got = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
		const struct nlmsghdr *message = (const struct nlmsghdr *)buffer;
		int left = got;

		if (got < 0)
			fail("recv");
		for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
			if (message->nlmsg_type != type || !parse(message, &sample, table))
				fail("parse");
			print_text(&sample, table);
			fflush(stdout);
			received++;
		}
	}
}
