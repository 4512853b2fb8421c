/* Finding the family psample and joining its samples, as one writes it with libmnl. */
#ifndef FAMILY_H
#define FAMILY_H
#include "peer.h"
#include <signal.h>

struct family {
	uint16_t id;
	uint32_t packets;
};

static void read_groups(const struct nlattr *groups, struct family *family)
{
	const struct nlattr *group, *attr;

	mnl_attr_for_each_nested(group, groups) {
		const char *name = "";
		uint32_t id = 0;

		mnl_attr_for_each_nested(attr, group) {
			if (mnl_attr_get_type(attr) == CTRL_ATTR_MCAST_GRP_NAME)
				name = mnl_attr_get_str(attr);
			else if (mnl_attr_get_type(attr) == CTRL_ATTR_MCAST_GRP_ID)
				id = mnl_attr_get_u32(attr);
		}
		if (!strcmp(name, "packets"))
			family->packets = id;
	}
}

static int read_family(const struct nlmsghdr *message, void *data)
{
	struct family *family = data;
	const struct nlattr *attr;

	mnl_attr_for_each(attr, message, sizeof(struct genlmsghdr)) {
		if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID)
			family->id = mnl_attr_get_u16(attr);
		else if (mnl_attr_get_type(attr) == CTRL_ATTR_MCAST_GROUPS)
			read_groups(attr, family);
	}
	return MNL_CB_OK;
}

static struct family find_family(struct mnl_socket *socket, char *buffer, size_t size)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct genlmsghdr *generic = mnl_nlmsg_put_extra_header(message, sizeof(*generic));
	struct family family = { 0 };
	int result;

	message->nlmsg_type = GENL_ID_CTRL;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	message->nlmsg_seq = 1;
	generic->cmd = CTRL_CMD_GETFAMILY;
	generic->version = 1;
	mnl_attr_put_strz(message, CTRL_ATTR_FAMILY_NAME, "psample");
	if (mnl_socket_sendto(socket, message, message->nlmsg_len) < 0)
		fail("send");
	/* The answer, and then the acknowledgement. */
	do {
		ssize_t got = mnl_socket_recvfrom(socket, buffer, size);
		result = got < 0 ? -1 : mnl_cb_run(buffer, got, 1, mnl_socket_get_portid(socket), read_family, &family);
	} while (result > MNL_CB_STOP);
	if (result < 0 || !family.packets)
		fail("find the family psample");
	return family;
}

/* A socket that receives samples, with the default receive buffer, and their message type. Overflows are not reported. */
static struct mnl_socket *join(char *buffer, size_t size, uint16_t *type)
{
	struct mnl_socket *socket = mnl_socket_open(NETLINK_GENERIC);
	struct family family;
	int one = 1;

	if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
		fail("netlink socket");
	mnl_socket_setsockopt(socket, NETLINK_NO_ENOBUFS, &one, sizeof(one));
	family = find_family(socket, buffer, size);
	if (mnl_socket_setsockopt(socket, NETLINK_ADD_MEMBERSHIP, &family.packets, sizeof(family.packets)) < 0)
		fail("join");
	*type = family.id;
	return socket;
}

/* Lets SIGINT and SIGTERM call `end`. */
static void end_by(void (*end)(int))
{
	struct sigaction action = { .sa_handler = end };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}
#endif
