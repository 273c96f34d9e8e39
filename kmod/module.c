/*
 * The module's declarations. Its name is if_lagg, like the C driver's, so the kernel loads only one of them.
 *
 * To unload, the kernel calls MOD_QUIESCE and MOD_UNLOAD, then runs the SYSUNINITs from higher subsystems to lower. So
 * the module first refuses while there is a lagg. Then the vnets lose their cloners. What laggs need is taken down last,
 * before the malloc type goes.
 */
#include "wrapper.h"

/* Defined in Rust: src/kpi/freebsd/module.rs and clone.rs. */
int	lagg_rs_load(void);
int	lagg_rs_quiesce(void);
int	lagg_rs_unload(void);
void	lagg_rs_unhook(const void *);
ifc_create_f lagg_rs_clone_create;
ifc_destroy_f lagg_rs_clone_destroy;

static int
lagg_modevent(module_t mod __unused, int what, void *arg __unused)
{
	switch (what) {
	case MOD_LOAD:
		return (lagg_rs_layout_fits() ? lagg_rs_load() : ENOEXEC);
	case MOD_QUIESCE:
		return (lagg_rs_quiesce());
	case MOD_UNLOAD:
		return (lagg_rs_unload());
	default:
		return (EOPNOTSUPP);
	}
}

static moduledata_t lagg_mod = { "if_lagg", lagg_modevent, NULL };

DECLARE_MODULE(if_lagg, lagg_mod, SI_SUB_PSEUDO, SI_ORDER_ANY);
MODULE_VERSION(if_lagg, 1);
MODULE_DEPEND(if_lagg, if_infiniband, 1, 1, 1);
#ifdef DEV_NETMAP
MODULE_DEPEND(if_lagg, netmap, 1, 1, 1);
#endif

SYSUNINIT(lagg_rs_unhook, SI_SUB_EPOCH, SI_ORDER_ANY, lagg_rs_unhook, NULL);

VNET_DEFINE_STATIC(struct if_clone *, lagg_cloner);
#define	V_lagg_cloner	VNET(lagg_cloner)

static void
vnet_lagg_init(const void *unused __unused)
{
	struct if_clone_addreq request = {
		.flags = IFC_F_AUTOUNIT,
		.maxunit = IF_MAXUNIT,
		.create_f = lagg_rs_clone_create,
		.destroy_f = lagg_rs_clone_destroy,
	};

	V_lagg_cloner = ifc_attach_cloner("lagg", &request);
}
VNET_SYSINIT(vnet_lagg_init, SI_SUB_PROTO_IFATTACHDOMAIN, SI_ORDER_ANY, vnet_lagg_init, NULL);

/* The vnet is marked as ending, and its protocols are still there. */
static void
vnet_lagg_shutdown(const void *unused __unused)
{
	NET_EPOCH_WAIT();
}
VNET_SYSUNINIT(vnet_lagg_shutdown, SI_SUB_VNET_DONE, SI_ORDER_FIRST, vnet_lagg_shutdown, NULL);

static void
vnet_lagg_uninit(const void *unused __unused)
{
#if __FreeBSD_version < 1500000
	/* Later releases do this themselves when the laggs go that are left. */
	sx_xlock(&ifnet_detach_sxlock);
#endif
	ifc_detach_cloner(V_lagg_cloner);
#if __FreeBSD_version < 1500000
	sx_xunlock(&ifnet_detach_sxlock);
#endif
}
VNET_SYSUNINIT(vnet_lagg_uninit, SI_SUB_INIT_IF, SI_ORDER_ANY, vnet_lagg_uninit, NULL);

SYSCTL_DECL(_net_link);
SYSCTL_NODE(_net_link, OID_AUTO, lagg, CTLFLAG_RW | CTLFLAG_MPSAFE, 0, "Link aggregation");

SYSCTL_CONST_STRING(_net_link_lagg, OID_AUTO, version, CTLFLAG_RD | CTLFLAG_MPSAFE, LAGG_RS_VERSION,
    "Version of the module");
SYSCTL_INT(_net_link_lagg, OID_AUTO, osreldate, CTLFLAG_RD | CTLFLAG_MPSAFE, SYSCTL_NULL_INT_PTR, __FreeBSD_version,
    "Version of FreeBSD that the module was built for, as kern.osreldate");

SYSCTL_NODE(_net_link_lagg, OID_AUTO, lacp, CTLFLAG_RD | CTLFLAG_MPSAFE, 0, "LACP");

/* Declares a sysctl of each vnet, and the function with which Rust reads that of the current vnet. */
#define	LAGG_SYSCTL(parent, name, value, access, text)						\
	VNET_DEFINE_STATIC(int, name) = (value);						\
	SYSCTL_INT(parent, OID_AUTO, name, (access) | CTLFLAG_VNET, &VNET_NAME(name), 0, text);	\
	int lagg_rs_##name(void) { return (VNET(name)); }					\
	struct __hack

LAGG_SYSCTL(_net_link_lagg, failover_rx_all, 0, CTLFLAG_RW, "Failover: accept what any port receives");
/* F-52: tunables, so loader.conf(5) sets them in time. */
LAGG_SYSCTL(_net_link_lagg, default_use_flowid, 0, CTLFLAG_RWTUN,
    "New laggs choose ports by the flow id that the NIC computed");
LAGG_SYSCTL(_net_link_lagg, default_use_numa, 1, CTLFLAG_RWTUN, "New laggs prefer ports of the flow's NUMA domain");
LAGG_SYSCTL(_net_link_lagg, default_flowid_shift, 16, CTLFLAG_RWTUN, "By how many bits new laggs shift the flow id");
LAGG_SYSCTL(_net_link_lagg, default_min_links, 0, CTLFLAG_RWTUN,
    "New laggs have their link up only while so many ports are in service");
LAGG_SYSCTL(_net_link_lagg, default_up_delay, 0, CTLFLAG_RWTUN,
    "For how many milliseconds a port's link is up before a new lagg uses the port");
LAGG_SYSCTL(_net_link_lagg, default_down_delay, 0, CTLFLAG_RWTUN,
    "For how many milliseconds a port's link is down before that counts for a new lagg");
LAGG_SYSCTL(_net_link_lagg, default_notify_peers, 1, CTLFLAG_RWTUN,
    "How often new laggs tell their peers that another port is in service");
LAGG_SYSCTL(_net_link_lagg_lacp, debug, 0, CTLFLAG_RWTUN, "Messages: 1 states, 2 LACPDUs too");
LAGG_SYSCTL(_net_link_lagg_lacp, default_strict_mode, 1, CTLFLAG_RWTUN, "New LACP laggs keep strictly to the standard");

/*
 * net.link.lagg.iface.<name>: the settings and the state of laggs, by name. Rust makes the nodes and removes them
 * (src/kpi/freebsd/names.rs).
 *
 * Each leaf is looked up by its name, and says ENOENT in a vnet without such a lagg or port, which sysctl(8) skips when it
 * lists all. No leaf has CTLFLAG_TUN: kenv(1) would have the kernel write to the address 0 of the vnet.
 */
SYSCTL_NODE(_net_link_lagg, OID_AUTO, iface, CTLFLAG_RW | CTLFLAG_MPSAFE, 0, "Laggs by name");

struct sysctl_oid_list *
lagg_rs_nodes(void)
{
	return (SYSCTL_STATIC_CHILDREN(_net_link_lagg_iface));
}

/*
 * They come in the order of their numbers, so each is to the right of the last one. The tree is searched and walked as any
 * other, but not balanced: nothing is inserted later, and they are few.
 */
void
lagg_rs_oid_append(struct sysctl_oid_list *list, struct sysctl_oid *before, struct sysctl_oid *oid)
{
	RB_SET(oid, before, oid_link);
	if (before == NULL)
		RB_ROOT(list) = oid;
	else
		RB_RIGHT(before, oid_link) = oid;
}

void
lagg_rs_oid_register(struct sysctl_oid *oid)
{
	sysctl_wlock();
	sysctl_register_oid(oid);
	sysctl_wunlock();
}

/*
 * A thread counts as running from when it has found the leaf, with the lock held, until it has the lock again after the
 * handler. sysctl_remove_oid(9) waits for that too, but only if it also frees.
 */
void
lagg_rs_oids_remove(struct sysctl_oid *oids, size_t count)
{
	sysctl_wlock();
	sysctl_unregister_oid(&oids[0]);
	for (size_t i = 0; i < count; i++)
		while (oids[i].oid_running != 0) {
			sysctl_wunlock();
			pause_sbt("laggoid", 10 * SBT_1MS, 0, 0);
			sysctl_wlock();
		}
	sysctl_wunlock();
}

/* For modules that link against the C driver's names (net/if_lagg.h). */
extern const uint8_t ethermulticastaddr_slowprotocols[ETHER_ADDR_LEN];
const uint8_t ethermulticastaddr_slowprotocols[ETHER_ADDR_LEN] = { 0x01, 0x80, 0xc2, 0x00, 0x00, 0x02 };

int
lagg_enqueue(struct ifnet *ifp, struct mbuf *m)
{
	return (if_transmit(ifp, m));
}
