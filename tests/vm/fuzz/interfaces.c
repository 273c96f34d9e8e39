/*
 * Requests to any interface, to VLANs and bridges, and the table of all operations.
 */
#include "fuzz.h"

#include <net/ethernet.h>
#include <net/if_bridgevar.h>
#include <net/if_dl.h>
#include <net/if_media.h>
#include <net/if_vlan_var.h>
#include <netinet/in.h>
#include <netinet6/in6_var.h>
#include <netinet6/nd6.h>

static long
create(struct worker *w)
{
	struct ifreq request = {};

	any(w, request.ifr_name);
	/* What epair(4) makes is named after the pair. */
	if (request.ifr_name[0] == 'e')
		request.ifr_name[6] = '\0';
	return (w->jail != NULL && moves(request.ifr_name) ? LEFT_OUT : submit(w, LOCAL, SIOCIFCREATE2, &request));
}

/* Before it is destroyed. Its parent's address, which laggs change by themselves, must not change meanwhile: see docs/proof.md. */
void
unconfigure(struct worker *w, const char *name)
{
	struct ifreq request = {};
	struct vlanreq none = {};

	if (!is_vlan(name))
		return;
	copy(request.ifr_name, name);
	request.ifr_data = (void *)&none;
	call(SYS_ioctl, w->sockets[LOCAL], SIOCSETVLAN, &request);
}

static long
destroy(struct worker *w)
{
	struct ifreq request = {};

	any(w, request.ifr_name);
	if (stays(request.ifr_name))
		return (LEFT_OUT);
	guard(w, request.ifr_name, true);
	unconfigure(w, request.ifr_name);
	return (submit(w, LOCAL, SIOCIFDESTROY, &request));
}

/* They come up more often than they go down. */
static long
up_or_down(struct worker *w)
{
	struct ifreq request = {};

	any(w, request.ifr_name);
	call(SYS_ioctl, w->sockets[LOCAL], SIOCGIFFLAGS, &request);
	if (chance(w, 3)) {
		say(w, "down");
		request.ifr_flags &= ~IFF_UP;
	} else {
		say(w, "up");
		request.ifr_flags |= IFF_UP;
	}
	return (submit(w, LOCAL, SIOCSIFFLAGS, &request));
}

static long
flags(struct worker *w)
{
	struct ifreq request = {};
	unsigned flag;

	any(w, request.ifr_name);
	call(SYS_ioctl, w->sockets[LOCAL], SIOCGIFFLAGS, &request);
	flag = say_one(w, IFF_PPROMISC >> 16, IFF_PPROMISC >> 16, IFF_DEBUG, IFF_LINK0, IFF_NOARP);
	if (flag != IFF_PPROMISC >> 16)
		request.ifr_flags ^= flag;
	/* vlan(4)'s race: see docs/proof.md. */
	else if (!is_vlan(request.ifr_name))
		request.ifr_flagshigh ^= flag;
	return (submit(w, LOCAL, SIOCSIFFLAGS, &request));
}

static long
mtu(struct worker *w)
{
	struct ifreq request = {};

	any(w, request.ifr_name);
	request.ifr_mtu = say_one(w, 1500, 1500, 1400, 1300, 9000, 72, 71, 65536);
	return (submit(w, LOCAL, SIOCSIFMTU, &request));
}

static long
address(struct worker *w)
{
	struct ifreq request = {};

	any(w, request.ifr_name);
	request.ifr_addr.sa_family = AF_LINK;
	request.ifr_addr.sa_len = say_one(w, ETHER_ADDR_LEN, ETHER_ADDR_LEN, ETHER_ADDR_LEN, 5);
	request.ifr_addr.sa_data[0] = say_one(w, 2, 2, 2, 1);
	request.ifr_addr.sa_data[5] = say_number(w, pick(w, 8));
	return (submit(w, LOCAL, SIOCSIFLLADDR, &request));
}

static long
group(struct worker *w)
{
	struct ifreq request = {};
	struct sockaddr_dl *to = (void *)&request.ifr_addr;
	bool leaves = chance(w, 2);

	say(w, leaves ? "leaves" : "joins");
	any(w, request.ifr_name);
	/* With the length of IPv4's, the kernel takes it for 224.0.0.1, and frees that under IPv4's feet. */
	to->sdl_len = offsetof(struct sockaddr_dl, sdl_data) + ETHER_ADDR_LEN;
	to->sdl_family = AF_LINK;
	to->sdl_alen = ETHER_ADDR_LEN;
	to->sdl_data[0] = 1;
	to->sdl_data[5] = say_number(w, pick(w, 20));
	return (submit(w, LOCAL, leaves ? SIOCDELMULTI : SIOCADDMULTI, &request));
}

static long
capabilities(struct worker *w)
{
	struct ifreq request = {};
	unsigned bits;

	any(w, request.ifr_name);
	bits = say_one(w, IFCAP_TXCSUM, IFCAP_RXCSUM, IFCAP_TSO4, IFCAP_LRO, IFCAP_VLAN_HWTAGGING, IFCAP_VLAN_HWFILTER,
	    IFCAP_VLAN_MTU, IFCAP_JUMBO_MTU, 0xffff);
	call(SYS_ioctl, w->sockets[LOCAL], SIOCGIFCAP, &request);
	request.ifr_reqcap = request.ifr_curcap ^ bits;
	return (submit(w, LOCAL, SIOCSIFCAP, &request));
}

static long
media(struct worker *w)
{
	struct ifreq request = {};

	any(w, request.ifr_name);
	request.ifr_media = say_one(w, IFM_ETHER | IFM_AUTO, IFM_ETHER | IFM_10G_T, IFM_ETHER | IFM_100_TX | IFM_HDX, 0);
	return (submit(w, LOCAL, SIOCSIFMEDIA, &request));
}

static long
rename(struct worker *w)
{
	struct ifreq request = {};
	char name[IFNAMSIZ];

	any(w, request.ifr_name);
	copy_number(copy(name, "fuzz"), pick(w, 3));
	say(w, name);
	request.ifr_data = name;
	return (is_vlan(request.ifr_name) || !moves(request.ifr_name) ? LEFT_OUT : submit(w, LOCAL, SIOCSIFNAME, &request));
}

/* Of a net to which traffic goes: 10.0.N.1, in a jail .2. */
static long
inet(struct worker *w)
{
	struct ifaliasreq request = {};
	struct ifreq remove = {};
	struct sockaddr_in *local = (void *)&request.ifra_addr, *mask = (void *)&request.ifra_mask;

	any(w, request.ifra_name);
	*local = (struct sockaddr_in){ .sin_len = sizeof(*local), .sin_family = AF_INET };
	local->sin_addr.s_addr = 10 | say_number(w, pick(w, 4)) << 16 | (w->jail == NULL ? 1u : 2u) << 24;
	*mask = (struct sockaddr_in){ .sin_len = sizeof(*mask), .sin_family = AF_INET, .sin_addr.s_addr = 0xffffff };
	if (!chance(w, 3))
		return (submit(w, INET, SIOCAIFADDR, &request));
	say(w, "removed");
	copy(remove.ifr_name, request.ifra_name);
	memcpy(&remove.ifr_addr, local, sizeof(*local));
	return (submit(w, INET, SIOCDIFADDR, &remove));
}

static long
inet6(struct worker *w)
{
	struct in6_aliasreq request = {
		.ifra_flags = duplicates ? 0 : IN6_IFF_NODAD,
		.ifra_lifetime = { 0, 0, ND6_INFINITE_LIFETIME, ND6_INFINITE_LIFETIME },
	};
	struct in6_ifreq remove = {};
	struct sockaddr_in6 *local = &request.ifra_addr, *mask = &request.ifra_prefixmask;

	any(w, request.ifra_name);
	*local = (struct sockaddr_in6){ .sin6_len = sizeof(*local), .sin6_family = AF_INET6 };
	local->sin6_addr.s6_addr[0] = 0xfe;
	local->sin6_addr.s6_addr[1] = 0x80;
	local->sin6_addr.s6_addr[15] = say_number(w, 1 + pick(w, 4));
	mask->sin6_len = sizeof(*mask);
	mask->sin6_family = AF_INET6;
	for (unsigned n = 0; n < 8; n++)
		mask->sin6_addr.s6_addr[n] = 0xff;
	guard_addresses(w, true);
	if (!chance(w, 3))
		return (submit(w, INET6, SIOCAIFADDR_IN6, &request));
	say(w, "removed");
	copy(remove.ifr_name, request.ifra_name);
	remove.ifr_addr = *local;
	return (submit(w, INET6, SIOCDIFADDR_IN6, &remove));
}

static long
look(struct worker *w)
{
	static const unsigned long commands[] = {
		SIOCGIFFLAGS, SIOCGIFMTU, SIOCGIFCAP, SIOCGIFMETRIC, SIOCGIFINDEX, SIOCGHWADDR, SIOCGLANPCP,
	};
	struct ifmediareq about = {};
	struct ifreq request = {};

	w->sets = false;
	any(w, request.ifr_name);
	copy(about.ifm_name, request.ifr_name);
	switch (say_number(w, pick(w, 4))) {
	case 0:
		return (submit(w, LOCAL, SIOCGIFMEDIA, &about));
	case 1:
		return (submit(w, LOCAL, SIOCGIFXMEDIA, &about));
	default:
		return (submit(w, LOCAL, commands[say_number(w, pick(w, sizeof(commands) / sizeof(commands[0])))], &request));
	}
}

static long
vlan_parent(struct worker *w)
{
	struct ifreq request = {};
	struct vlanreq to = {};

	vlan(w, request.ifr_name);
	if (!chance(w, 4)) {
		parent(w, request.ifr_name, to.vlr_parent);
		to.vlr_tag = say_number(w, 1 + pick(w, 5));
		to.vlr_proto = chance(w, 4) ? ETHERTYPE_QINQ : ETHERTYPE_VLAN;
	}
	request.ifr_data = (void *)&to;
	return (submit(w, LOCAL, SIOCSETVLAN, &request));
}

static long
vlan_priority(struct worker *w)
{
	struct ifreq request = {};

	vlan(w, request.ifr_name);
	request.ifr_lan_pcp = say_number(w, pick(w, 9));
	return (submit(w, LOCAL, SIOCSLANPCP, &request));
}

/* No two members are ends of one cable, where broadcasts would go round for ever. A bridge has its lagg and its tap. */
static long
member(struct worker *w, unsigned command, unsigned flags)
{
	struct ifbreq request = { .ifbr_ifsflags = flags };
	struct ifdrv carrier = { .ifd_cmd = command, .ifd_len = sizeof(request), .ifd_data = &request };
	unsigned unit = pick(w, 2);

	copy_number(copy(carrier.ifd_name, "bridge"), unit);
	copy_number(copy(request.ifbr_ifsname, without_laggs || chance(w, 3) ? "tap" : "lagg"), unit);
	say(w, carrier.ifd_name);
	say(w, request.ifbr_ifsname);
	return (submit(w, LOCAL, SIOCSDRVSPEC, &carrier));
}

static long
bridge_add(struct worker *w)
{
	guard_addresses(w, false);
	return (member(w, BRDGADD, 0));
}

static long
bridge_delete(struct worker *w)
{
	return (member(w, BRDGDEL, 0));
}

static long
bridge_flags(struct worker *w)
{
	return (member(w, BRDGSIFFLGS, say_number(w, pick(w, 16))));
}

const struct operation operations[] = {
	{ "create", 80, create },
	{ "destroy", 8, destroy },
	{ "up_or_down", 60, up_or_down },
	{ "flags", 15, flags },
	{ "mtu", 20, mtu },
	{ "address", 15, address },
	{ "group", 30, group },
	{ "capabilities", 15, capabilities },
	{ "media", 5, media },
	{ "rename", 8, rename },
	{ "inet", 15, inet },
	{ "inet6", 15, inet6 },
	{ "look", 20, look },
	{ "vlan", 25, vlan_parent },
	{ "priority", 4, vlan_priority },
	{ "addm", 15, bridge_add },
	{ "deletem", 5, bridge_delete },
	{ "bridge", 10, bridge_flags },
	{ "join", 120, lagg_join },
	{ "leave", 30, lagg_leave },
	{ "protocol", 40, lagg_protocol },
	{ "option", 15, lagg_option },
	{ "hash", 5, lagg_hash },
	{ "lagg", 25, lagg_get },
	{ "garbage", 10, lagg_garbage },
	{ "sysctl", 15, lagg_statistics },
	{ "set", 30, lagg_setting },
	{ "newlink", 15, netlink_create },
	{ "link", 15, netlink_modify },
	{ "dellink", 3, netlink_delete },
	{ "getlink", 8, netlink_get },
	{ "vnet", 8, vnet_there },
	{ "-vnet", 8, vnet_back },
	{ "jail", 6, jails_create },
	{ "unjail", 3, jails_remove },
	{ "detach", 15, device_detach },
	{ "attach", 25, device_attach },
	{ "kldunload", 4, module_unload },
};
const unsigned operations_count = sizeof(operations) / sizeof(operations[0]);
