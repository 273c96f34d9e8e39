/*
 * What hosts and switches are told when a lagg sends on another port. See shim.h.
 *
 * Nothing here takes a lock that is held while a driver is called: only the protocols' own mutexes.
 */
#include "opt_inet.h"
#include "opt_inet6.h"

#include "wrapper.h"

#include <net/if_bridgevar.h>
#include <netinet/in_systm.h>
#include <netinet/in_var.h>
#include <netinet/ip.h>
#include <netinet/ip_carp.h>
#include <netinet/ip6.h>
#include <netinet/icmp6.h>
#include <netinet/igmp.h>
#include <netinet/igmp_var.h>
#include <netinet6/ip6_var.h>
#include <netinet6/mld6.h>
#include <netinet6/mld6_var.h>
#include <netinet6/nd6.h>
#include <netinet6/scope6_var.h>

#include <machine/in_cksum.h>

static int
is_same(struct ifnet *ifp, void *other)
{
	return (ifp == other);
}

/*
 * Whether the interface is in the list of its vnet, which is the current one. If so, it and all that it has are there
 * for the rest of the epoch section: who takes an interface out of the list waits for the sections that may have found
 * it there. One that is dying may have no vnet any more.
 */
static bool
is_attached(struct ifnet *ifp)
{
#ifdef VIMAGE
	/* D-37: the protocols of a vnet that ends go before its laggs. vnet_lagg_shutdown waits for those who are here. */
	if (curvnet->vnet_shutdown)
		return (false);
#endif
	return ((ifp->if_flags & IFF_DYING) == 0 && if_foreach(is_same, ifp) != 0);
}

#if defined(INET) || defined(INET6)
static struct mbuf *
packet(struct ifnet *ifp, const void *bytes, size_t length)
{
	struct mbuf *m = m_get2(length, M_NOWAIT, MT_DATA, M_PKTHDR);

	if (m != NULL) {
		memcpy(mtod(m, void *), bytes, length);
		m->m_len = m->m_pkthdr.len = length;
		m->m_pkthdr.rcvif = ifp;
	}
	return (m);
}
#endif

#ifdef INET
static u_int
announce_ipv4(void *arg, struct ifaddr *ifa, u_int count __unused)
{
	struct ifnet *ifp = arg;

	/* F-75: carp(4) announces its own, with a link-level address of its own. */
	if (ifa->ifa_carp != NULL)
		return (0);
	arp_announce_ifaddr(ifp, ((struct sockaddr_in *)ifa->ifa_addr)->sin_addr, IF_LLADDR(ifp));
	return (1);
}

/*
 * Has IGMP report the groups of the interface again, as if a general query had come, in the version that is spoken
 * there. The kernel has no other function for that. What IGMP has learned from true queries is put back afterwards.
 */
static void
report_ipv4(struct ifnet *ifp)
{
	struct {
		struct ip ip;
		struct igmpv3 igmp;
	} __packed query = {
		.ip = { .ip_hl = sizeof(struct ip) >> 2, .ip_v = IPVERSION, .ip_ttl = 1, .ip_p = IPPROTO_IGMP },
		.igmp = { .igmp_type = IGMP_HOST_MEMBERSHIP_QUERY },
	};
	struct in_ifinfo *info = ifp->if_afdata[AF_INET];
	struct igmp_ifsoftc *igmp = info == NULL ? NULL : info->ii_igmp;
	size_t length = sizeof(query);
	int offset = sizeof(query.ip);
	uint32_t rv, qi, qri, v1_timer, v2_timer;
	struct mbuf *m;

	if (igmp == NULL)
		return;
	if (igmp->igi_version != IGMP_VERSION_3)
		length = sizeof(query.ip) + IGMP_MINLEN;
	/* In tenths of a second; 0 is version 1. */
	query.igmp.igmp_code = igmp->igi_version == IGMP_VERSION_1 ? 0 : 1;
	query.ip.ip_len = htons(length);
	query.ip.ip_dst.s_addr = htonl(INADDR_ALLHOSTS_GROUP);
	m = packet(ifp, &query, length);
	if (m == NULL)
		return;
	((struct igmp *)(mtod(m, char *) + offset))->igmp_cksum = in_cksum_skip(m, length, offset);
	rv = igmp->igi_rv;
	qi = igmp->igi_qi;
	qri = igmp->igi_qri;
	v1_timer = igmp->igi_v1_timer;
	v2_timer = igmp->igi_v2_timer;
	/* No raw socket for IGMP has this number. Only those for all protocols get the query. */
	igmp_input(&m, &offset, IPPROTO_MAX);
	IN_MULTI_LIST_LOCK();
	igmp->igi_rv = rv;
	igmp->igi_qi = qi;
	igmp->igi_qri = qri;
	igmp->igi_v1_timer = v1_timer;
	igmp->igi_v2_timer = v2_timer;
	IN_MULTI_LIST_UNLOCK();
}
#endif

#ifdef INET6
/* Whether IPv6 is in use on the interface. */
static bool
has_ipv6(struct ifnet *ifp)
{
	return (ifp->if_afdata[AF_INET6] != NULL && (ND_IFINFO(ifp)->flags & ND6_IFF_IFDISABLED) == 0);
}

static u_int
announce_ipv6(void *arg, struct ifaddr *ifa, u_int count __unused)
{
	const int silent = IN6_IFF_NOTREADY | IN6_IFF_DETACHED | IN6_IFF_ANYCAST;
	struct ifnet *ifp = arg;
	struct in6_addr all = in6addr_linklocal_allnodes;
	u_long flags = ND_NA_FLAG_OVERRIDE;

	/* carp(4) announces its own. */
	if (ifa->ifa_carp != NULL || (((struct in6_ifaddr *)ifa)->ia6_flags & silent) != 0)
		return (0);
	/* Hosts forget a router that does not say here that it is one. The rule is that of nd6_ns_input. */
	if (V_ip6_forwarding && ((ND_IFINFO(ifp)->flags & ND6_IFF_ACCEPT_RTADV) == 0 || !V_ip6_norbit_raif))
		flags |= ND_NA_FLAG_ROUTER;
	/* With the link-level address. FreeBSD 14 would use what it has not set if this were left to it. */
	if (in6_setscope(&all, ifp, NULL) == 0)
		nd6_na_output(ifp, &all, IFA_IN6(ifa), flags, 1, NULL);
	return (1);
}

/* The same as report_ipv4, for MLD. */
static void
report_ipv6(struct ifnet *ifp)
{
	struct {
		struct ip6_hdr ip;
		struct mldv2_query mld;
	} __packed query = {
		.ip = { .ip6_nxt = IPPROTO_ICMPV6, .ip6_hlim = 1,
		    .ip6_src = { .s6_addr = { 0xfe, 0x80 } }, .ip6_dst = IN6ADDR_LINKLOCAL_ALLNODES_INIT },
		.mld = { .mld_icmp6_hdr = { .icmp6_type = MLD_LISTENER_QUERY } },
	};
	struct mld_ifsoftc *mld = MLD_IFINFO(ifp);
	size_t length = sizeof(query.mld);
	uint32_t rv, qi, qri, v1_timer;
	struct mbuf *m;

	if (mld == NULL)
		return;
	if (mld->mli_version == MLD_VERSION_1)
		length = sizeof(struct mld_hdr);
	query.mld.mld_icmp6_hdr.icmp6_maxdelay = htons(1);
	query.ip.ip6_vfc = IPV6_VERSION;
	query.ip.ip6_plen = htons(length);
	m = packet(ifp, &query, sizeof(query.ip) + length);
	if (m == NULL)
		return;
	rv = mld->mli_rv;
	qi = mld->mli_qi;
	qri = mld->mli_qri;
	v1_timer = mld->mli_v1_timer;
	/* The packet is in one piece, so it is not freed. */
	if (mld_input(&m, sizeof(query.ip), length) == 0)
		m_freem(m);
	IN6_MULTI_LIST_LOCK();
	mld->mli_rv = rv;
	mld->mli_qi = qi;
	mld->mli_qri = qri;
	mld->mli_v1_timer = v1_timer;
	IN6_MULTI_LIST_UNLOCK();
}
#endif

bool
lagg_rs_announce(struct ifnet *ifp)
{
	if ((ifp->if_flags & IFF_UP) == 0 || !is_attached(ifp))
		return (false);
#ifdef INET
	if ((ifp->if_flags & IFF_NOARP) == 0)
		if_foreach_addr_type(ifp, AF_INET, announce_ipv4, ifp);
	report_ipv4(ifp);
#endif
#ifdef INET6
	if (has_ipv6(ifp)) {
		if_foreach_addr_type(ifp, AF_INET6, announce_ipv6, ifp);
		report_ipv6(ifp);
	}
#endif
	return (ifp->if_carp != NULL);
}

void
lagg_rs_carp_announce(void)
{
	/*
	 * carp(4) sends its advertisements at once, from its own addresses, on all interfaces where it is the master. Nothing
	 * else that it offers can be called without a lock of its own.
	 */
	if (carp_demote_adj_p != NULL)
		(*carp_demote_adj_p)(0, __DECONST(char *, "a lagg sends on another port"));
}

#ifdef INET6
struct detection {
	time_t since;
	u_int	skip;		/* of those under way */
	struct ifaddr *under_way;
};

static u_int
detect(void *arg, struct ifaddr *ifa, u_int count __unused)
{
	struct detection *detection = arg;
	struct in6_ifaddr *ia = (struct in6_ifaddr *)ifa;

	if (ifa->ifa_carp != NULL || ia->ia6_createtime < detection->since ||
	    (ia->ia6_flags & (IN6_IFF_ANYCAST | IN6_IFF_DUPLICATED)) != 0)
		return (0);
	if ((ia->ia6_flags & IN6_IFF_TENTATIVE) == 0) {
		/* nd6_timer, which runs each second, begins the detection. */
		ia->ia6_flags |= IN6_IFF_TENTATIVE;
	} else if (detection->under_way == NULL && detection->skip-- == 0) {
		ifa_ref(ifa);
		detection->under_way = ifa;
	}
	return (1);
}
#endif

void
lagg_rs_detect_duplicates(struct ifnet *ifp, uint64_t since)
{
#ifdef INET6
	struct detection detection;
	struct epoch_tracker et;

	for (u_int before = 0;; before++) {
		detection = (struct detection){ .since = since, .skip = before };
		NET_EPOCH_ENTER(et);
		CURVNET_SET(ifp->if_vnet);
		/* Those that have just been marked are under way in the next round: the timer begins them anew, too. */
		if (is_attached(ifp) && V_ip6_dad_count > 0 && has_ipv6(ifp) && in6if_do_dad(ifp))
			if_foreach_addr_type(ifp, AF_INET6, detect, &detection);
		CURVNET_RESTORE();
		NET_EPOCH_EXIT(et);
		if (detection.under_way == NULL)
			break;
		/*
		 * What was asked until now was not heard. This may sleep, and does nothing for an address of another vnet,
		 * which may end meanwhile: there a detection that is under way goes on.
		 */
		nd6_dad_stop(detection.under_way);
		ifa_free(detection.under_way);
	}
#endif
}

static int
is_bridge_of(struct ifnet *ifp, void *arg)
{
	struct { void *softc; struct ifnet *bridge; } *wanted = arg;

	if (ifp->if_type != IFT_BRIDGE || ifp->if_softc != wanted->softc)
		return (0);
	wanted->bridge = ifp;
	return (1);
}

/* What an interface has of the bridge that it is a member of. */
static void *
bridge_softc(struct ifnet *ifp)
{
	if (ifp->if_bridge == NULL)
		return (NULL);
#if __FreeBSD_version < 1500000
	return (ifp->if_bridge);
#else
	return (bridge_get_softc_p == NULL ? NULL : (*bridge_get_softc_p)(ifp));
#endif
}

struct ifnet *
lagg_rs_bridge(struct ifnet *ifp)
{
	struct { void *softc; struct ifnet *bridge; } wanted = { NULL, NULL };

	if (is_attached(ifp))
		wanted.softc = bridge_softc(ifp);
	if (wanted.softc != NULL)
		if_foreach(is_bridge_of, &wanted);
	return (wanted.bridge);
}
