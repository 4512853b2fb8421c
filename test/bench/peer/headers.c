/*
 * headers FILE COUNT: CPU nanoseconds to find the headers of a packet, over the packets in the messages of a file, in memory. It
 * stores what PacketView stores, and checks what that checks: no byte beyond the end is read, and what the capture cut off is
 * distinguished from what contradicts itself. It knows Ethernet, VLAN tags, IPv4, IPv6, TCP and UDP.
 */
#include "peer.h"

#define MOST_HEADERS 15

/* As in src/packet/header.ts. */
enum kind { NONE, ETHERNET, VLAN = 4, IPV4 = 8, IPV6, TCP = 11, UDP };

struct headers {
	const unsigned char *bytes;
	uint32_t start, end, original_bytes, count, limit, payload;
	uint8_t cut, broken;
	bool deeper;
	uint8_t kinds[MOST_HEADERS];
	uint32_t offsets[MOST_HEADERS];
};

struct headers headers;
static uint32_t sum;

static uint32_t u16(const unsigned char *bytes)
{
	return bytes[0] << 8 | bytes[1];
}

static enum kind contradict(struct headers *headers, enum kind kind)
{
	if (!headers->broken)
		headers->broken = kind;
	return NONE;
}

static enum kind too_short(struct headers *headers, enum kind kind)
{
	if (headers->limit != headers->end || headers->end - headers->start >= headers->original_bytes)
		return contradict(headers, kind);
	headers->cut = kind;
	return NONE;
}

static void narrow(struct headers *headers, enum kind kind, uint32_t limit)
{
	if (limit <= headers->limit)
		headers->limit = limit;
	else if (headers->limit < headers->end || limit - headers->start > headers->original_bytes)
		contradict(headers, kind);
}

static enum kind of_ether_type(uint32_t type)
{
	return type == 0x0800 ? IPV4 : type == 0x86dd ? IPV6 : type == 0x8100 || type == 0x88a8 || type == 0x9100 || type == 0x9200 ? VLAN : NONE;
}

static enum kind of_protocol(uint32_t protocol)
{
	return protocol == 6 ? TCP : protocol == 17 ? UDP : NONE;
}

/* Reads the header at `*at`, leaves there where the next one begins, and returns its kind. */
static enum kind follow(struct headers *headers, enum kind kind, uint32_t *at)
{
	const unsigned char *bytes = headers->bytes + *at;
	uint32_t left = headers->limit - *at, size, length, from = *at;

	switch (kind) {
	case ETHERNET:
		if (left < 14)
			return too_short(headers, kind);
		*at += 14;
		return of_ether_type(u16(bytes + 12));
	case VLAN:
		if (left < 4)
			return too_short(headers, kind);
		*at += 4;
		return of_ether_type(u16(bytes + 2));
	case IPV4:
		if (left < 20)
			return too_short(headers, kind);
		size = (bytes[0] & 15) << 2;
		length = u16(bytes + 2);
		if (bytes[0] >> 4 != 4 || size < 20 || (length && length < size))
			return contradict(headers, kind);
		if (length)
			narrow(headers, kind, from + length);
		if (from + size > headers->limit)
			return too_short(headers, kind);
		*at += size;
		return u16(bytes + 6) & 0x1fff ? NONE : of_protocol(bytes[9]);
	case IPV6:
		if (left < 40)
			return too_short(headers, kind);
		if (bytes[0] >> 4 != 6)
			return contradict(headers, kind);
		length = u16(bytes + 4);
		if (length)
			narrow(headers, kind, from + 40 + length);
		*at += 40;
		return of_protocol(bytes[6]);
	case TCP:
		if (left < 20)
			return too_short(headers, kind);
		size = bytes[12] >> 4 << 2;
		if (size < 20)
			return contradict(headers, kind);
		if (size > left)
			return too_short(headers, kind);
		*at += size;
		return NONE;
	case UDP:
		if (left < 8)
			return too_short(headers, kind);
		*at += 8;
		length = u16(bytes + 4);
		if (length && length < 8)
			return contradict(headers, kind);
		if (length)
			narrow(headers, kind, from + length);
		return NONE;
	default:
		return NONE;
	}
}

/* Not inlined, so that no store is optimised away because this program does not read it. */
__attribute__((noinline)) static void walk(struct headers *headers, const unsigned char *bytes, uint32_t start, uint32_t end, uint32_t original_bytes)
{
	enum kind kind = start < end ? ETHERNET : NONE;
	uint32_t at = start, count = 0;

	headers->bytes = bytes;
	headers->start = start;
	headers->end = headers->limit = end;
	headers->original_bytes = original_bytes;
	headers->cut = start == end && original_bytes ? ETHERNET : NONE;
	headers->broken = NONE;
	headers->deeper = false;
	while (kind) {
		if (count == MOST_HEADERS) {
			headers->deeper = true;
			break;
		}
		if (at >= headers->limit) {
			too_short(headers, kind);
			break;
		}
		headers->kinds[count] = kind;
		headers->offsets[count++] = at;
		kind = follow(headers, kind, &at);
	}
	headers->payload = at;
	headers->count = count;
}

static void decode(const struct sample *samples, uint32_t many, uint32_t count)
{
	for (uint32_t i = 0, next = 0; i < count; i++) {
		const struct sample *sample = &samples[next];

		next = next + 1 == many ? 0 : next + 1;
		walk(&headers, sample->data, 0, sample->data_bytes, sample->original_bytes);
		sum += headers.count + headers.payload;
	}
}

int main(int argc, char **argv)
{
	struct messages messages;
	struct sample *samples;
	uint32_t count;

	if (argc != 3) {
		fprintf(stderr, "usage: see headers.c\n");
		return 2;
	}
	messages = load_messages(argv[1]);
	samples = calloc(messages.count, sizeof(*samples));
	count = atoi(argv[2]);
	found = 0;
	for (uint32_t i = 0; i < messages.count; i++) {
		const struct nlattr *table[ATTRIBUTES];

		if (!parse(messages.all[i].bytes, &samples[i], table))
			fail("parse");
		walk(&headers, samples[i].data, 0, samples[i].data_bytes, samples[i].original_bytes);
		found += headers.count + headers.payload + u16(headers.bytes + headers.offsets[headers.count - 1] + 2);
	}
	decode(samples, messages.count, count);
	while (next_round()) {
		uint64_t start = cpu_ns();

		decode(samples, messages.count, count);
		report(start, count);
	}
	fprintf(stderr, "sum %u\n", sum);
	return 0;
}
