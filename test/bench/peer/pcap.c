/* pcap FILE BYTES COUNT: CPU nanoseconds to write one message from memory as a record of a pcap file, with fwrite(3). */
#include "peer.h"

static void write_file(const char *path, const char *memory, uint32_t stride, uint32_t count)
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
		const char *message = memory + i % MESSAGES * stride;
		uint64_t timestamp = *(const uint64_t *)(message + TIMESTAMP_AT);
		const uint32_t record[4] = { timestamp / 1000000000, timestamp % 1000000000, 16 + stride, 16 + stride };
		fwrite(record, sizeof(record), 1, file);
		fwrite(cooked, sizeof(cooked), 1, file);
		fwrite(message, stride, 1, file);
	}
	if (fclose(file))
		fail("close");
	report(start, count);
}

int main(int argc, char **argv)
{
	uint32_t count = atoi(argv[3]), stride;
	const char *memory = build_all(atoi(argv[2]), &stride);

	(void)argc;
	while (next_round())
		write_file(argv[1], memory, stride, count);
	return 0;
}
