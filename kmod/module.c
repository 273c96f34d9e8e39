/*
 * The module's declarations. Its name is if_lagg, like the C driver's, so the kernel loads only one of them.
 *
 * To unload, the kernel calls MOD_QUIESCE and MOD_UNLOAD, then runs the SYSUNINITs from higher subsystems to lower. So
 * the module first refuses while there is a lagg. Then the vnets lose their cloners. What laggs need is taken down last,
 * before the malloc type goes.
 */
#include "wrapper.h"

/* Defined in Rust: src/kpi/freebsd/module.rs, sysctl.rs and clone.rs. */
int	lagg_rs_load(void);
int	lagg_rs_quiesce(void);
int	lagg_rs_unload(void);
void	lagg_rs_unhook(const void *);
int	lagg_rs_stats(u_int index, struct sbuf *);
int	lagg_rs_enter(void);
void	lagg_rs_leave(void);
int	lagg_rs_setting(SYSCTL_HANDLER_ARGS);
ifc_create_f lagg_rs_clone_create;
ifc_destroy_f lagg_rs_clone_destroy;

static int
lagg_modevent(module_t mod __unused, int what, void *arg __unused)
{
	switch (what) {
	case MOD_LOAD:
		return (lagg_rs_load());
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

static void
vnet_lagg_uninit(const void *unused __unused)
{
	ifc_detach_cloner(V_lagg_cloner);
}
VNET_SYSUNINIT(vnet_lagg_uninit, SI_SUB_INIT_IF, SI_ORDER_ANY, vnet_lagg_uninit, NULL);

SYSCTL_DECL(_net_link);
SYSCTL_NODE(_net_link, OID_AUTO, lagg, CTLFLAG_RW | CTLFLAG_MPSAFE, 0, "Link aggregation");

SYSCTL_CONST_STRING(_net_link_lagg, OID_AUTO, version, CTLFLAG_RD | CTLFLAG_MPSAFE, LAGG_RS_VERSION,
    "Version of the module");

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
 * net.link.lagg.stats.<if_index>: what a lagg has dropped, and why.
 *
 * Each lagg has an OID of its own. sysctl(8) looks names up with name2oid, which ends at a node with a handler, so a
 * single node for all could be read by number alone. Names belong to the whole host, as indices do. A reader in another
 * vnet than the lagg's gets ENOENT, which sysctl(8) skips when it lists all.
 *
 * An OID is created with the first lagg of its index, and stays until the module goes. Removing one would wait for its
 * readers, which may wait for ever for a page of their buffer, while ifnet_detach_sxlock is held (D-31). Without a lagg
 * it answers ENOENT. Readers keep the module from being unloaded, so at the end there are none.
 */
SYSCTL_NODE(_net_link_lagg, OID_AUTO, stats, CTLFLAG_RD | CTLFLAG_MPSAFE, 0, "What laggs dropped, by interface index");

static struct sysctl_ctx_list lagg_stats_oids = TAILQ_HEAD_INITIALIZER(lagg_stats_oids);

static int
lagg_stats(SYSCTL_HANDLER_ARGS)
{
	struct sbuf text;
	int error;

	error = lagg_rs_enter();
	if (error != 0)
		return (error);
	if (sbuf_new_for_sysctl(&text, NULL, 512, req) == NULL) {
		lagg_rs_leave();
		return (ENOMEM);
	}
	error = lagg_rs_stats(arg2, &text);
	if (error == 0)
		error = sbuf_finish(&text);
	sbuf_delete(&text);
	lagg_rs_leave();
	return (error);
}

void
lagg_rs_stats_add(const char *name, u_int index)
{
	struct sysctl_ctx_entry *oid;

	/* The index is this lagg's, so no other thread adds the same OID. */
	sysctl_wlock();
	TAILQ_FOREACH(oid, &lagg_stats_oids, link)
		if (oid->entry->oid_arg2 == index)
			break;
	sysctl_wunlock();
	if (oid != NULL)
		return;
	/* D-31: it stays until the module goes, so destroying a lagg waits for no reader. */
	SYSCTL_ADD_PROC(&lagg_stats_oids, SYSCTL_STATIC_CHILDREN(_net_link_lagg_stats), OID_AUTO, name,
	    CTLTYPE_STRING | CTLFLAG_RD | CTLFLAG_VNET | CTLFLAG_MPSAFE, NULL, index, lagg_stats, "A",
	    "What the lagg dropped, and why");
}

void
lagg_rs_stats_remove(void)
{
	sysctl_ctx_free(&lagg_stats_oids);
}

/*
 * net.link.lagg.iface.<name>: the settings of laggs, by name. Rust makes the nodes and removes them
 * (src/kpi/freebsd/names.rs).
 *
 * No leaf has CTLFLAG_TUN: kenv(1) would have the kernel write to the address 0 of the vnet.
 */
SYSCTL_NODE(_net_link_lagg, OID_AUTO, iface, CTLFLAG_RW | CTLFLAG_MPSAFE, 0, "Laggs by name");

struct sysctl_oid *
lagg_rs_node_add(struct sysctl_oid *parent, const char *name)
{
	if (parent != NULL)
		return (SYSCTL_ADD_NODE(NULL, SYSCTL_CHILDREN(parent), OID_AUTO, name, CTLFLAG_RW | CTLFLAG_MPSAFE, 0,
		    "LACP"));
	return (SYSCTL_ADD_NODE_WITH_LABEL(NULL, SYSCTL_STATIC_CHILDREN(_net_link_lagg_iface), OID_AUTO, name,
	    CTLFLAG_RW | CTLFLAG_MPSAFE, 0, "Laggs of this name", "lagg"));
}

void
lagg_rs_leaf_add(struct sysctl_oid *parent, const char *name, u_int place, bool number, const char *about)
{
	sysctl_add_oid(NULL, SYSCTL_CHILDREN(parent), OID_AUTO, name,
	    (number ? CTLTYPE_U32 : CTLTYPE_STRING) | CTLFLAG_RW | CTLFLAG_VNET | CTLFLAG_MPSAFE, NULL, place,
	    lagg_rs_setting, number ? "IU" : "A", about, NULL);
}

void
lagg_rs_node_remove(struct sysctl_oid *oid)
{
	sysctl_remove_oid(oid, 1, 1);
}

struct sysctl_oid *
lagg_rs_iface_of(struct sysctl_oid *oid)
{
	while (SYSCTL_PARENT(oid) != &sysctl___net_link_lagg_iface)
		oid = SYSCTL_PARENT(oid);
	return (oid);
}

/* For modules that link against the C driver's names (net/if_lagg.h). */
extern const uint8_t ethermulticastaddr_slowprotocols[ETHER_ADDR_LEN];
const uint8_t ethermulticastaddr_slowprotocols[ETHER_ADDR_LEN] = { 0x01, 0x80, 0xc2, 0x00, 0x00, 0x02 };

int
lagg_enqueue(struct ifnet *ifp, struct mbuf *m)
{
	return (if_transmit(ifp, m));
}
