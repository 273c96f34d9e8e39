/*
 * lagg_infiniband.ko: InfiniBand interfaces on a fabric of their own, which knows where each address is. They stand in for
 * IPoIB's, of which a virtual machine has none. Sysctls, of kern.lagg_infiniband:
 *
 * ports          how many there are, ibt0 and up (0)
 * <n>.link       whether the link of ibt<n> is up (1)
 * <n>.guid       the last byte of its address (16 + n): as the subnet manager changes it, without an event
 * <n>.partition  its partition, which is in its broadcast address (1): groups do not reach others
 */
#include <sys/param.h>
#include <sys/systm.h>
#include <sys/epoch.h>
#include <sys/errno.h>
#include <sys/kernel.h>
#include <sys/lock.h>
#include <sys/malloc.h>
#include <sys/mbuf.h>
#include <sys/module.h>
#include <sys/mutex.h>
#include <sys/proc.h>
#include <sys/socket.h>
#include <sys/sockio.h>
#include <sys/sx.h>
#include <sys/sysctl.h>
#include <sys/taskqueue.h>

#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_types.h>
#include <net/if_var.h>
#include <net/infiniband.h>
#include <net/vnet.h>

#define	PORTS_MAX	8
#define	MTU_MAX		4092
#define	QUEUE_MAX	1024

/* Places in an address that tell interfaces and partitions apart. */
#define	GUID		19
#define	PARTITION	9

struct port {
	if_t		ifp;
	bool		attached;	/* frames may be sent to it: in the epoch */
	uint8_t		broadcast[INFINIBAND_ADDR_LEN];
	struct mtx	mtx;
	struct mbufq	arrived;	/* guarded by mtx */
	struct task	deliver;
	struct sysctl_ctx_list sysctls;
};

enum { LINK, ADDRESS, PARTITION_KEY };

static struct port ports[PORTS_MAX];
static u_int ports_count;

static struct sx lock;				/* owns ports_count, and changes of ports */
SX_SYSINIT(lock, &lock, "lagg_infiniband");

SYSCTL_NODE(_kern, OID_AUTO, lagg_infiniband, CTLFLAG_RW | CTLFLAG_MPSAFE, 0, "InfiniBand to test lagg with");

static bool
port_hears(struct port *port, const uint8_t *to)
{
	if (!port->attached || if_getlinkstate(port->ifp) != LINK_STATE_UP)
		return (false);
	if (INFINIBAND_IS_MULTICAST(to))
		return (port->broadcast[PARTITION] == to[PARTITION]);
	return (memcmp(if_getlladdr(port->ifp), to, INFINIBAND_ADDR_LEN) == 0);
}

static void
port_take(struct port *port, struct mbuf *m)
{
	int full;

	m->m_pkthdr.csum_flags = 0;
	mtx_lock(&port->mtx);
	full = mbufq_enqueue(&port->arrived, m);
	mtx_unlock(&port->mtx);
	if (full)
		m_freem(m);
	taskqueue_enqueue(taskqueue_thread, &port->deliver);
}

static void
port_deliver(void *context, int pending __unused)
{
	struct port *port = context;
	struct epoch_tracker et;
	struct mbuf *m;

	for (;;) {
		mtx_lock(&port->mtx);
		m = mbufq_dequeue(&port->arrived);
		mtx_unlock(&port->mtx);
		if (m == NULL)
			return;
		m->m_pkthdr.rcvif = port->ifp;
		if_inc_counter(port->ifp, IFCOUNTER_IPACKETS, 1);
		if_inc_counter(port->ifp, IFCOUNTER_IBYTES, m->m_pkthdr.len);
		NET_EPOCH_ENTER(et);
		CURVNET_SET(if_getvnet(port->ifp));
		if_input(port->ifp, m);
		CURVNET_RESTORE();
		NET_EPOCH_EXIT(et);
	}
}

static int
port_transmit(if_t ifp, struct mbuf *m)
{
	struct port *port;
	struct mbuf *copy;
	const uint8_t *to;

	if ((if_getflags(ifp) & IFF_UP) == 0 || if_getlinkstate(ifp) != LINK_STATE_UP) {
		if_inc_counter(ifp, IFCOUNTER_OERRORS, 1);
		m_freem(m);
		return (ENETDOWN);
	}
	m = m_pullup(m, INFINIBAND_HDR_LEN);
	if (m == NULL)
		return (ENOBUFS);
	infiniband_bpf_mtap(ifp, m);
	to = mtod(m, struct infiniband_header *)->ib_hwaddr;
	for (port = ports; port < &ports[PORTS_MAX]; port++) {
		if (port->ifp == ifp || !port_hears(port, to))
			continue;
		copy = m_dup(m, M_NOWAIT);
		if (copy != NULL)
			port_take(port, copy);
	}
	if_inc_counter(ifp, IFCOUNTER_OPACKETS, 1);
	if_inc_counter(ifp, IFCOUNTER_OBYTES, m->m_pkthdr.len);
	m_freem(m);
	return (0);
}

static void
port_qflush(if_t ifp __unused)
{
}

static void
port_init(void *context __unused)
{
}

static int
port_ioctl(if_t ifp, u_long command, caddr_t data)
{
	struct ifreq *request = (struct ifreq *)data;

	switch (command) {
	case SIOCSIFFLAGS:
	case SIOCADDMULTI:
	case SIOCDELMULTI:
		return (0);
	case SIOCSIFMTU:
		if (request->ifr_mtu > MTU_MAX)
			return (EINVAL);
		if_setmtu(ifp, request->ifr_mtu);
		return (0);
	default:
		return (ether_ioctl(ifp, command, data));
	}
}

static int
sysctl_port(SYSCTL_HANDLER_ARGS)
{
	struct port *port = arg1;
	uint8_t *byte;
	int error, now;

	byte = arg2 == ADDRESS ? (uint8_t *)if_getlladdr(port->ifp) + GUID : port->broadcast + PARTITION;
	now = arg2 == LINK ? if_getlinkstate(port->ifp) == LINK_STATE_UP : *byte;
	error = sysctl_handle_int(oidp, &now, 0, req);
	if (error != 0 || req->newptr == NULL)
		return (error);
	if (arg2 == LINK)
		if_link_state_change(port->ifp, now ? LINK_STATE_UP : LINK_STATE_DOWN);
	else
		*byte = now;
	return (0);
}

static void
port_add_sysctls(struct port *port, u_int unit)
{
	static const char *const names[] = { [LINK] = "link", [ADDRESS] = "guid", [PARTITION_KEY] = "partition" };
	struct sysctl_oid *node;
	char name[8];

	sysctl_ctx_init(&port->sysctls);
	snprintf(name, sizeof(name), "%u", unit);
	node = SYSCTL_ADD_NODE(&port->sysctls, SYSCTL_STATIC_CHILDREN(_kern_lagg_infiniband), OID_AUTO, name,
	    CTLFLAG_RW | CTLFLAG_MPSAFE, 0, "A port");
	for (u_int n = 0; n < nitems(names); n++)
		SYSCTL_ADD_PROC(&port->sysctls, SYSCTL_CHILDREN(node), OID_AUTO, names[n],
		    CTLTYPE_INT | CTLFLAG_RW | CTLFLAG_MPSAFE, port, n, sysctl_port, "I", "What it is called");
}

static void
port_attach(u_int unit)
{
	/* Flags and queue pair, the subnet's prefix, the port's GUID. */
	uint8_t address[INFINIBAND_ADDR_LEN] = { 0, 0, 0, 0x40, 0xfe, 0x80, [12] = 0x02, 'i', 'b', 't', [GUID] = 16 + unit };
	static const uint8_t broadcast[INFINIBAND_ADDR_LEN] = { 0, 0xff, 0xff, 0xff, 0xff, 0x12, 0x40, 0x1b, 0xff,
	    [PARTITION] = 1, [16] = 0xff, 0xff, 0xff, 0xff };
	struct port *port = &ports[unit];

	memcpy(port->broadcast, broadcast, sizeof(broadcast));
	mtx_init(&port->mtx, "lagg_infiniband port", NULL, MTX_DEF);
	mbufq_init(&port->arrived, QUEUE_MAX);
	TASK_INIT(&port->deliver, 0, port_deliver, port);
	port->ifp = if_alloc(IFT_INFINIBAND);
	if_initname(port->ifp, "ibt", unit);
	if_setsoftc(port->ifp, port);
	if_setflags(port->ifp, IFF_BROADCAST | IFF_SIMPLEX | IFF_MULTICAST);
	if_setdrvflags(port->ifp, IFF_DRV_RUNNING);
	if_setinitfn(port->ifp, port_init);
	if_setioctlfn(port->ifp, port_ioctl);
	if_settransmitfn(port->ifp, port_transmit);
	if_setqflushfn(port->ifp, port_qflush);
	infiniband_ifattach(port->ifp, address, port->broadcast);
	if_link_state_change(port->ifp, LINK_STATE_UP);
	port->attached = true;
	port_add_sysctls(port, unit);
}

static void
port_detach(u_int unit)
{
	struct port *port = &ports[unit];

	sysctl_ctx_free(&port->sysctls);
	port->attached = false;
	infiniband_ifdetach(port->ifp);
	/* Wait for threads that have found it. */
	NET_EPOCH_WAIT();
	taskqueue_drain(taskqueue_thread, &port->deliver);
	mbufq_drain(&port->arrived);
	mtx_destroy(&port->mtx);
	if_free(port->ifp);
	port->ifp = NULL;
}

static void
ports_set(u_int count)
{
	CURVNET_SET(vnet0);
	for (; ports_count < count; ports_count++)
		port_attach(ports_count);
	for (; ports_count > count; ports_count--)
		port_detach(ports_count - 1);
	CURVNET_RESTORE();
}

static int
sysctl_ports(SYSCTL_HANDLER_ARGS)
{
	u_int count = ports_count;
	int error;

	error = sysctl_handle_int(oidp, &count, 0, req);
	if (error != 0 || req->newptr == NULL)
		return (error);
	if (count > PORTS_MAX)
		return (EINVAL);
	sx_xlock(&lock);
	ports_set(count);
	sx_xunlock(&lock);
	return (0);
}
SYSCTL_PROC(_kern_lagg_infiniband, OID_AUTO, ports, CTLTYPE_UINT | CTLFLAG_RW | CTLFLAG_MPSAFE, NULL, 0, sysctl_ports,
    "IU", "How many ports there are");

static int
infiniband_event(module_t module __unused, int what, void *context __unused)
{
	switch (what) {
	case MOD_LOAD:
		return (0);
	case MOD_UNLOAD:
		sx_xlock(&lock);
		ports_set(0);
		sx_xunlock(&lock);
		return (0);
	default:
		return (EOPNOTSUPP);
	}
}

static moduledata_t infiniband_module = { "lagg_infiniband", infiniband_event, NULL };
DECLARE_MODULE(lagg_infiniband, infiniband_module, SI_SUB_PSEUDO, SI_ORDER_ANY);
MODULE_VERSION(lagg_infiniband, 1);
MODULE_DEPEND(lagg_infiniband, if_infiniband, 1, 1, 1);
