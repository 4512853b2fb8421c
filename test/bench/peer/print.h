/* Lines of samples: libpsample's text, and the same JSON that psample prints. */
#ifndef PRINT_H
#define PRINT_H
#include <endian.h>
#include "peer.h"

/* Prints the fields that a sample has, as libpsample's tool does. That tool flushes each line. */
UNUSED static void print_text(const struct sample *sample, const struct nlattr **table)
{
	if (table[SAMPLE_GROUP])
		printf("group %u ", sample->group);
	if (table[IIFINDEX])
		printf("in-ifindex %u ", sample->in_ifindex);
	if (table[OIFINDEX])
		printf("out-ifindex %u ", sample->out_ifindex);
	if (table[ORIGSIZE])
		printf("origsize %u ", sample->original_bytes);
	if (table[SAMPLE_RATE])
		printf("sample-rate %u ", sample->rate);
	if (table[GROUP_SEQ])
		printf("seq %u ", sample->sequence);
	if (table[OUT_TC])
		printf("out-tc %u ", sample->out_tc);
	if (table[OUT_TC_OCC])
		printf("out-tc-occ %lu ", sample->out_tc_occupancy);
	if (table[LATENCY])
		printf("latency %lu ", sample->latency);
	if (table[TIMESTAMP]) {
		time_t seconds = sample->timestamp / 1000000000;
		char text[64];
		strftime(text, sizeof(text), "%a %b %d %H:%M:%S %Y", localtime(&seconds));
		printf("timestamp %s %09lu nsec ", text, sample->timestamp % 1000000000);
	}
	if (table[PROTO])
		printf("protocol 0x%x ", sample->protocol);
	printf("\n");
}

static void print_hex(const char *key, const void *value, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	static char text[2 * MESSAGE_MAX];
	const unsigned char *bytes = value;

	for (size_t i = 0; i < size; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	fputs(key, stdout);
	fwrite(text, 2 * size, 1, stdout);
	putchar('"');
}

static void print_hex_attr(const char *key, const struct nlattr *attr)
{
	if (attr)
		print_hex(key, mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr));
}

static void print_address(const char *key, const struct nlattr *four, const struct nlattr *six)
{
	char text[INET6_ADDRSTRLEN];

	if (four)
		printf("%s%s\"", key, inet_ntop(AF_INET, mnl_attr_get_payload(four), text, sizeof(text)));
	else if (six)
		printf("%s%s\"", key, inet_ntop(AF_INET6, mnl_attr_get_payload(six), text, sizeof(text)));
}

/* PSAMPLE_TUNNEL_KEY_ATTR_* of include/uapi/linux/psample.h. */
enum {
	KEY_ID, KEY_IPV4_SRC, KEY_IPV4_DST, KEY_TOS, KEY_TTL, KEY_DONT_FRAGMENT, KEY_CSUM, KEY_OAM, KEY_GENEVE_OPTS, KEY_TP_SRC,
	KEY_TP_DST, KEY_VXLAN_OPTS, KEY_IPV6_SRC, KEY_IPV6_DST, KEY_PAD, KEY_ERSPAN_OPTS, KEY_IPV4_INFO_BRIDGE, KEYS,
};

static const char *truth(const struct nlattr *flag)
{
	return flag ? "true" : "false";
}

static void print_geneve(const struct nlattr *attr)
{
	const unsigned char *option = mnl_attr_get_payload(attr), *end = option + mnl_attr_get_payload_len(attr);
	const char *before = "";

	printf(",\"geneveOptions\":[");
	for (; option < end; option += 4 + 4 * (option[3] & 31)) {
		printf("%s{\"optionClass\":%u,\"type\":%u", before, option[0] << 8 | option[1], option[2]);
		print_hex(",\"data\":\"", option + 4, 4 * (option[3] & 31));
		putchar('}');
		before = ",";
	}
	putchar(']');
}

static void print_tunnel(const struct nlattr *tunnel)
{
	const struct nlattr *keys[KEYS] = { 0 }, *attr;

	mnl_attr_for_each_nested(attr, tunnel)
		if (mnl_attr_get_type(attr) < KEYS)
			keys[mnl_attr_get_type(attr)] = attr;
	fputs(",\"tunnel\":{", stdout);
	if (keys[KEY_ID])
		printf("\"id\":\"%lu\",", be64toh(mnl_attr_get_u64(keys[KEY_ID])));
	/* A tunnel always has addresses. */
	print_address("\"source\":\"", keys[KEY_IPV4_SRC], keys[KEY_IPV6_SRC]);
	print_address(",\"destination\":\"", keys[KEY_IPV4_DST], keys[KEY_IPV6_DST]);
	if (keys[KEY_TOS])
		printf(",\"tos\":%u", mnl_attr_get_u8(keys[KEY_TOS]));
	if (keys[KEY_TTL])
		printf(",\"ttl\":%u", mnl_attr_get_u8(keys[KEY_TTL]));
	printf(",\"dontFragment\":%s,\"checksum\":%s,\"oam\":%s", truth(keys[KEY_DONT_FRAGMENT]), truth(keys[KEY_CSUM]), truth(keys[KEY_OAM]));
	if (keys[KEY_TP_SRC])
		printf(",\"sourcePort\":%u", ntohs(mnl_attr_get_u16(keys[KEY_TP_SRC])));
	if (keys[KEY_TP_DST])
		printf(",\"destinationPort\":%u", ntohs(mnl_attr_get_u16(keys[KEY_TP_DST])));
	if (keys[KEY_GENEVE_OPTS])
		print_geneve(keys[KEY_GENEVE_OPTS]);
	print_hex_attr(",\"vxlanOptions\":\"", keys[KEY_VXLAN_OPTS]);
	print_hex_attr(",\"erspanOptions\":\"", keys[KEY_ERSPAN_OPTS]);
	printf(",\"ipv4InfoBridge\":%s,\"unknown\":[]}", truth(keys[KEY_IPV4_INFO_BRIDGE]));
}

/* Prints a sample as psample --json does. */
UNUSED static void print_json(const struct nlmsghdr *message, const struct sample *sample, const struct nlattr **table)
{
	printf("{\"type\":\"sample\"");
	if (table[SAMPLE_GROUP])
		printf(",\"group\":%u", sample->group);
	if (table[GROUP_SEQ])
		printf(",\"sequence\":%u", sample->sequence);
	if (table[SAMPLE_RATE])
		printf(",\"rate\":%u", sample->rate);
	printf(",\"rateIsProbability\":%s", truth(table[SAMPLE_PROBABILITY]));
	if (table[SAMPLE_RATE] && !table[SAMPLE_PROBABILITY])
		printf(",\"oneIn\":%u", sample->rate);
	else if (table[SAMPLE_RATE] && sample->rate)
		printf(",\"oneIn\":%.17g", 4294967295.0 / sample->rate);
	if (table[IIFINDEX])
		printf(",\"inIfindex\":%u", sample->in_ifindex);
	if (table[OIFINDEX])
		printf(",\"outIfindex\":%u", sample->out_ifindex);
	if (table[ORIGSIZE])
		printf(",\"originalBytes\":%u", sample->original_bytes);
	if (table[PROTO])
		printf(",\"protocol\":%u", sample->protocol);
	if (table[TIMESTAMP])
		printf(",\"timestampNs\":\"%lu\"", sample->timestamp);
	if (table[LATENCY])
		printf(",\"latencyNs\":\"%lu\"", sample->latency);
	if (table[OUT_TC])
		printf(",\"outTc\":%u", sample->out_tc);
	if (table[OUT_TC_OCC])
		printf(",\"outTcOccupancyBytes\":\"%lu\"", sample->out_tc_occupancy);
	print_hex_attr(",\"cookie\":\"", table[USER_COOKIE]);
	if (table[TUNNEL])
		print_tunnel(table[TUNNEL]);
	/* No kernel sends attributes that are unknown here. */
	printf(",\"unknown\":[],\"portId\":%u", message->nlmsg_pid);
	print_hex_attr(",\"data\":\"", table[DATA]);
	puts("}");
}
#endif
