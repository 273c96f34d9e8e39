/*
 * netlink(4)'s requests about interfaces.
 */
#include "fuzz.h"

#include <netlink/netlink.h>
#include <netlink/route/common.h>
#include <netlink/route/interface.h>

static struct {
	struct nlmsghdr	header;
	struct ifinfomsg interface;
	char		attributes[400];
} message __attribute__((aligned(8)));

static void
begin(unsigned type, unsigned flags)
{
	static unsigned sequence;

	memset(&message, 0, sizeof(message));
	message.header.nlmsg_len = sizeof(message.header) + sizeof(message.interface);
	message.header.nlmsg_type = type;
	message.header.nlmsg_flags = NLM_F_REQUEST | flags;
	message.header.nlmsg_seq = ++sequence;
}

/* Returns where it begins. */
static struct nlattr *
put(unsigned type, const void *data, unsigned length)
{
	struct nlattr *attribute = (void *)((char *)&message + message.header.nlmsg_len);

	attribute->nla_type = type;
	attribute->nla_len = sizeof(*attribute) + length;
	memcpy(attribute + 1, data, length);
	message.header.nlmsg_len += (attribute->nla_len + 3) & ~3u;
	return (attribute);
}

static void
put_number(unsigned type, unsigned n)
{
	put(type, &n, sizeof(n));
}

static void
put_name(unsigned type, const char *name)
{
	put(type, name, length_of(name) + 1);
}

/* All since then is in it. */
static void
close_attribute(struct nlattr *attribute)
{
	attribute->nla_len = (char *)&message + message.header.nlmsg_len - (char *)attribute;
}

/* Returns what the answer to the message says. */
static long
answered(struct worker *w)
{
	static char answer[65536] __attribute__((aligned(8)));
	long result = call(SYS_sendto, w->sockets[NETLINK], &message, message.header.nlmsg_len, 0, NULL, 0);

	while (result >= 0) {
		result = call(SYS_recvfrom, w->sockets[NETLINK], answer, sizeof(answer), 0, NULL, NULL);
		for (long at = 0; at + (long)sizeof(struct nlmsghdr) <= result; ) {
			struct nlmsghdr *header = (void *)(answer + at);

			if (header->nlmsg_len < sizeof(*header))
				break;
			if (header->nlmsg_seq == message.header.nlmsg_seq && header->nlmsg_type == NLMSG_ERROR)
				return (judge(w, -(long)*(int *)(header + 1)));
			if (header->nlmsg_seq == message.header.nlmsg_seq && header->nlmsg_type == NLMSG_DONE)
				return (judge(w, 0));
			at += (header->nlmsg_len + 3) & ~3u;
		}
	}
	return (result);
}

static long
ask(struct worker *w, const char *name, bool leaves)
{
	guard(w, name, leaves);
	announce(w);
	return (answered(w));
}

static void
by_name_or_index(struct worker *w, const char *name)
{
	if (chance(w, 2))
		message.interface.ifi_index = index_of(w, name);
	else
		put_name(IFLA_IFNAME, name);
}

long
netlink_create(struct worker *w)
{
	char name[IFNAMSIZ], under[IFNAMSIZ];
	struct nlattr *information, *data;
	unsigned short id;

	begin(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | (chance(w, 2) ? NLM_F_EXCL : 0));
	if (chance(w, 3)) {
		lagg(w, name);
		put_name(IFLA_IFNAME, name);
		information = put(IFLA_LINKINFO, "", 0);
		put_name(IFLA_INFO_KIND, without_laggs ? "tap" : "lagg");
		close_attribute(information);
		return (w->jail != NULL && moves(name) ? LEFT_OUT : ask(w, name, false));
	}
	vlan(w, name);
	parent(w, name, under);
	id = say_number(w, 1 + pick(w, 5));
	put_name(IFLA_IFNAME, name);
	put_number(IFLA_LINK, index_of(w, under));
	information = put(IFLA_LINKINFO, "", 0);
	put_name(IFLA_INFO_KIND, "vlan");
	data = put(IFLA_INFO_DATA, "", 0);
	put(IFLA_VLAN_ID, &id, sizeof(id));
	close_attribute(data);
	close_attribute(information);
	return (w->jail != NULL && moves(name) ? LEFT_OUT : ask(w, name, false));
}

long
netlink_modify(struct worker *w)
{
	char name[IFNAMSIZ];

	begin(RTM_NEWLINK, NLM_F_ACK);
	any(w, name);
	by_name_or_index(w, name);
	if (chance(w, 2)) {
		message.interface.ifi_change = IFF_UP;
		message.interface.ifi_flags = say_one(w, 0, IFF_UP, IFF_UP);
	}
	if (chance(w, 2))
		put_number(IFLA_MTU, say_one(w, 1500, 1400, 9000, 100));
	return (ask(w, name, false));
}

long
netlink_delete(struct worker *w)
{
	char name[IFNAMSIZ];

	begin(RTM_DELLINK, NLM_F_ACK);
	any(w, name);
	by_name_or_index(w, name);
	if (stays(name))
		return (LEFT_OUT);
	guard(w, name, true);
	unconfigure(w, name);
	return (ask(w, name, true));
}

long
netlink_get(struct worker *w)
{
	char name[IFNAMSIZ];

	w->sets = false;
	if (chance(w, 2)) {
		say(w, "all");
		begin(RTM_GETLINK, NLM_F_DUMP);
		copy(name, "fuzz");
	} else {
		begin(RTM_GETLINK, NLM_F_ACK);
		any(w, name);
		by_name_or_index(w, name);
	}
	return (ask(w, name, false));
}
