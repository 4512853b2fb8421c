/* pcap FILE BYTES COUNT: CPU nanoseconds to write one message from memory as a record of a pcap file, with fwrite(3). */
#include "peer.h"

#define MESSAGES 1024

int main(int argc, char **argv)
{
	uint32_t bytes = atoi(argv[2]), count = atoi(argv[3]), stride;
	/* DLT_NETLINK: u16 packet type, u16 ARPHRD_NETLINK, 10 bytes of nothing, u16 protocol; all big-endian. */
	const unsigned char cooked[16] = { 0, 4, 824 >> 8, 824 & 0xff, [15] = NETLINK_GENERIC };
	const uint32_t head[6] = { 0xa1b23c4d, 4 << 16 | 2, 0, 0, 262144, 253 };
	FILE *file = fopen(argv[1], "w");
	uint64_t start;
	char *memory;

	(void)argc;
	if (!file)
		fail("open");
	stride = build(malloc(MESSAGE_MAX * 2), 0, bytes)->nlmsg_len;
	memory = malloc(MESSAGES * stride);
	for (uint32_t i = 0; i < MESSAGES; i++)
		build(memory + i * stride, i, bytes);
	fwrite(head, sizeof(head), 1, file);
	start = cpu_ns();
	for (uint32_t i = 0; i < count; i++) {
		const char *message = memory + i % MESSAGES * stride;
		uint64_t timestamp = *(const uint64_t *)(message + TIMESTAMP_AT);
		const uint32_t record[4] = { timestamp / 1000000000, timestamp % 1000000000, 16 + stride, 16 + stride };
		fwrite(record, sizeof(record), 1, file);
		fwrite(cooked, sizeof(cooked), 1, file);
		fwrite(message, stride, 1, file);
	}
	if (fclose(file))
		fail("close");
	fprintf(stderr, "cpu %.1f\n", (double)(cpu_ns() - start) / count);
	return 0;
}
