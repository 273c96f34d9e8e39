/*
 * lagg(4)'s requests.
 */
#include "fuzz.h"

struct port_request {
	char	lagg[IFNAMSIZ];
	char	port[IFNAMSIZ];
	char	rest[40];
};

struct lagg_request {
	char	lagg[IFNAMSIZ];
	uint32_t protocol;
	uint32_t padding;
	uint64_t size;
	void	*ports;
	char	rest[40];
};

struct hash_request {
	char	lagg[IFNAMSIZ];
	uint32_t flags;
};

struct option_request {
	char	lagg[IFNAMSIZ];
	int32_t	option;
	uint32_t counts[3];
	int32_t	flowid_shift;
	uint32_t packets;
};

#define	GET_PORT	_IOWR('i', 140, struct port_request)
#define	JOIN		_IOW('i', 141, struct port_request)
#define	LEAVE		_IOW('i', 142, struct port_request)
#define	GET_LAGG	_IOWR('i', 143, struct lagg_request)
#define	SET_PROTOCOL	_IOW('i', 144, struct lagg_request)
#define	GET_HASH	_IOWR('i', 145, struct hash_request)
#define	SET_HASH	_IOW('i', 146, struct hash_request)
#define	GET_OPTIONS	_IOWR('i', 152, struct option_request)
#define	SET_OPTION	_IOW('i', 153, struct option_request)

static char everything[32 * sizeof(struct port_request)];

static long
port_request(struct worker *w, unsigned long command)
{
	struct port_request request = {};

	lagg(w, request.lagg);
	port(w, request.port);
	return (without_laggs ? LEFT_OUT : submit(w, LOCAL, command, &request));
}

long
lagg_join(struct worker *w)
{
	guard_addresses(w, false);
	guard_joins(w, false);
	return (port_request(w, JOIN));
}

long
lagg_leave(struct worker *w)
{
	return (port_request(w, LEAVE));
}

long
lagg_protocol(struct worker *w)
{
	struct lagg_request request = {};

	lagg(w, request.lagg);
	request.protocol = say_number(w, pick(w, 7));
	return (without_laggs ? LEFT_OUT : submit(w, LOCAL, SET_PROTOCOL, &request));
}

long
lagg_option(struct worker *w)
{
	struct option_request request = {};
	unsigned option;

	lagg(w, request.lagg);
	option = say_one(w, 0x1, 0x2, 0x4, 0x10, 0x20, 0x40, 0x80, 0x100, 0x8);
	request.option = option;
	if (chance(w, 2)) {
		say(w, "off");
		request.option = -option;
	}
	request.flowid_shift = say_number(w, pick(w, 34));
	request.packets = say_number(w, pick(w, 4));
	return (without_laggs ? LEFT_OUT : submit(w, LOCAL, SET_OPTION, &request));
}

long
lagg_hash(struct worker *w)
{
	struct hash_request request = {};

	lagg(w, request.lagg);
	request.flags = say_number(w, pick(w, 10));
	return (without_laggs ? LEFT_OUT : submit(w, LOCAL, SET_HASH, &request));
}

long
lagg_get(struct worker *w)
{
	struct lagg_request request = { .ports = everything };
	struct port_request port_of = {};
	struct option_request option = {};
	struct hash_request hash = {};

	w->sets = false;
	lagg(w, request.lagg);
	request.size = say_one(w, sizeof(everything), sizeof(struct port_request), 0, 100);
	port(w, port_of.port);
	if (without_laggs)
		return (LEFT_OUT);
	copy(port_of.lagg, chance(w, 2) ? request.lagg : port_of.port);
	copy(option.lagg, request.lagg);
	copy(hash.lagg, request.lagg);
	switch (say_number(w, pick(w, 4))) {
	case 0:
		return (submit(w, LOCAL, GET_LAGG, &request));
	case 1:
		return (submit(w, LOCAL, GET_PORT, &port_of));
	case 2:
		return (submit(w, LOCAL, GET_HASH, &hash));
	default:
		return (submit(w, LOCAL, GET_OPTIONS, &option));
	}
}

/* A request with bytes that nobody meant. */
long
lagg_garbage(struct worker *w)
{
	static const unsigned long commands[] = { JOIN, LEAVE, SET_PROTOCOL, SET_HASH, SET_OPTION, GET_LAGG };
	union {
		uint64_t words[10];
		char	name[IFNAMSIZ];
		struct port_request port;
	} request;
	unsigned which;

	for (unsigned n = 0; n < 10; n++) {
		pick(w, 2);
		request.words[n] = w->random;
	}
	lagg(w, request.name);
	which = say_number(w, pick(w, sizeof(commands) / sizeof(commands[0])));
	w->sets = commands[which] != GET_LAGG;
	if (chance(w, 2))
		port(w, request.port.port);
	guard_joins(w, false);
	return (without_laggs ? LEFT_OUT : submit(w, LOCAL, commands[which], &request));
}

/* Reads a leaf of a lagg or a port, some way from the first. */
static long
lagg_leaf(struct worker *w)
{
	static const char tree[] = "net.link.lagg.iface";
	static char text[1024];
	int by_name[] = { 0, 3 }, next[26] = { 0, 2 }, found[24];
	size_t size = sizeof(found), length;
	long result;
	unsigned steps = say_number(w, pick(w, 300));

	say(w, tree);
	announce(w);
	result = call(SYS___sysctl, by_name, 2, found, &size, tree, length_of(tree));
	for (;;) {
		length = size / sizeof(int);
		if (result < 0 || steps-- == 0)
			break;
		memcpy(next + 2, found, size);
		size = sizeof(found);
		result = call(SYS___sysctl, next, length + 2, found, &size, NULL, 0);
	}
	size = sizeof(text);
	return (result < 0 ? result : call(SYS___sysctl, found, length, text, &size, NULL, 0));
}

/* What sysctl(8) sets of a lagg: numbers and texts, and such as are refused. */
long
lagg_setting(struct worker *w)
{
	static const char *const numbers[] = {
		"min_links", "rebalance", "hash_symmetric", "up_delay", "down_delay", "notify_peers", "notify_interval",
		"lacp.system_priority", "lacp.key", "lacp.active", "lacp.max_links", "lacp.fallback_delay", "lacp.marker_timeout",
	};
	static const struct {
		const char *name, *values[4];
	} texts[] = {
		{ "primary", { "", "epair0a", "tap1", "fuzz1" } },
		{ "primary_reselect", { "always", "better", "failure", "never" } },
		{ "active", { "epair0b", "epair1a", "vlan0", "tap0" } },
		{ "port_priority", { "", "epair0a:1 tap0:65535", "epair1b:100 epair1b:200 fuzz0:7", "tap0:65536" } },
		{ "lacp.system_id", { "", "02:00:00:00:00:01", "02:00:00:00:00:02", "01:00:00:00:00:01" } },
		{ "lacp.select", { "priority", "bandwidth", "count", "" } },
		{ "lacp.fallback", { "none", "single", "single", "both" } },
	};
	enum { NUMBERS = sizeof(numbers) / sizeof(numbers[0]), TEXTS = sizeof(texts) / sizeof(texts[0]) };
	char name[80], *end = copy(name, "net.link.lagg.iface.");
	unsigned which = pick(w, NUMBERS + TEXTS);
	const void *value;
	uint32_t number;
	size_t size;
	long result;

	lagg(w, end);
	end = copy(end + length_of(end), ".");
	copy(end, which < NUMBERS ? numbers[which] : texts[which - NUMBERS].name);
	say(w, end);
	if (which < NUMBERS) {
		number = say_one(w, 0, 1, 2, 3, 50, 70000);
		value = &number;
		size = sizeof(number);
	} else {
		value = texts[which - NUMBERS].values[pick(w, 4)];
		say(w, value);
		size = length_of(value);
	}
	if (without_laggs)
		return (LEFT_OUT);
	announce(w);
	result = call(SYS___sysctlbyname, name, length_of(name), NULL, NULL, value, size);
	/* The name of a lagg that is not there may be unknown. */
	return (result == -ENOENT ? result : judge(w, result));
}

/* net.link.lagg, read or set. */
long
lagg_statistics(struct worker *w)
{
	static const char *const names[] = {
		"net.link.lagg.default_use_flowid", "net.link.lagg.default_flowid_shift", "net.link.lagg.lacp.default_strict_mode",
		"net.link.lagg.failover_rx_all", "net.link.lagg.lacp.debug",
	};
	static char text[16384];
	size_t length = sizeof(text);
	const char *name;
	int value;

	if (without_laggs)
		return (LEFT_OUT);
	w->sets = false;
	if (chance(w, 2)) {
		int tree[] = { 4, 17, 0, 0, 3, 0 };	/* CTL_NET, PF_ROUTE, NET_RT_IFLIST */

		say(w, "interfaces");
		announce(w);
		return (call(SYS___sysctl, tree, 6, text, &length));
	}
	if (w->jail == NULL && !w->nobody && chance(w, 3)) {
		name = names[pick(w, 4)];
		say(w, name);
		value = say_number(w, pick(w, 2));
		announce(w);
		return (call(SYS___sysctlbyname, name, length_of(name), NULL, NULL, &value, sizeof(value)));
	}
	if (!chance(w, 3))
		return (lagg_leaf(w));
	name = names[pick(w, 5)];
	say(w, name);
	announce(w);
	return (call(SYS___sysctlbyname, name, length_of(name), text, &length, NULL, 0));
}
