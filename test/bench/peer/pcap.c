/* pcap PATH FILE COUNT: CPU nanoseconds to write one message of a file, in memory, as a record of a pcap file, with fwrite(3). */
#include "peer.h"

static void write_file(const char *path, struct messages *messages, uint32_t count)
{
	/* DLT_NETLINK: u16 packet type, u16 ARPHRD_NETLINK, 10 bytes of nothing, u16 protocol; all big-endian. */
	const unsigned char cooked[16] = { 0, 4, 824 >> 8, 824 & 0xff, [15] = NETLINK_GENERIC };
	const uint32_t head[6] = { 0xa1b23c4d, 4 << 16 | 2, 0, 0, 262144, 253 };
	FILE *file = fopen(path, "w");
	uint64_t start;

	if (!file)
		fail("open");
	fwrite(head, sizeof(head), 1, file);
	start = cpu_ns();
	for (uint32_t i = 0; i < count; i++) {
		const struct message *message = next_message(messages);
		uint64_t timestamp = *(const uint64_t *)((const char *)message->bytes + message->timestamp_at);
		uint32_t size = message->bytes->nlmsg_len;
		const uint32_t record[4] = { timestamp / 1000000000, timestamp % 1000000000, 16 + size, 16 + size };

		fwrite(record, sizeof(record), 1, file);
		fwrite(cooked, sizeof(cooked), 1, file);
		fwrite(message->bytes, size, 1, file);
	}
	if (fclose(file))
		fail("close");
	report(start, count);
}

int main(int argc, char **argv)
{
	struct messages messages = load_messages(argv[2]);

	(void)argc;
	while (next_round())
		write_file(argv[1], &messages, atoi(argv[3]));
	return 0;
}
