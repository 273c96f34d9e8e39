/*
 * The ports: Ethernet interfaces whose link is always up, where packets to send are counted and freed,
 * but for those to the partner.
 */
#include "traffic.h"

static struct port ports[PORTS_MAX];

/* A bit for each port whose cable is cut. */
static u_int cut;

u_int	ports_count;

struct port *
port_number(u_int n)
{
	return (&ports[n]);
}

static __noinline int
port_take(if_t ifp, struct mbuf *m)
{
	struct packet *packet = packet_of(m);

	if_inc_counter(ifp, IFCOUNTER_OPACKETS, 1);
	tags_arrived(ifp, m);
	if (packet == NULL) {
		partner_take(if_getsoftc(ifp), m);
		return (0);
	}
	workers[packet->worker].arrived++;
	m_freem(m);
	return (0);
}

static int
port_transmit(if_t ifp, struct mbuf *m)
{
	if (bench_packet == NULL)
		return (port_take(ifp, m));
	if (m != bench_packet)
		m_freem(m);
	return (0);
}

bool
port_is(if_t ifp)
{
	for (u_int n = 0; n < ports_count; n++)
		if (ports[n].ifp == ifp)
			return (true);
	return (false);
}

static void
port_qflush(if_t ifp __unused)
{
}

static void
port_init(void *context __unused)
{
}

/* What was chosen, or 10 gigabit where the port may choose. */
static int
port_media(struct port *port)
{
	int chosen = port->media.ifm_media;

	return (IFM_SUBTYPE(chosen) == IFM_AUTO ? IFM_ETHER | IFM_10G_T | IFM_FDX : chosen);
}

static int
port_media_change(if_t ifp)
{
	if_setbaudrate(ifp, ifmedia_baudrate(port_media(if_getsoftc(ifp))));
	return (0);
}

static void
port_media_status(if_t ifp, struct ifmediareq *request)
{
	request->ifm_status = IFM_AVALID | IFM_ACTIVE;
	request->ifm_active = port_media(if_getsoftc(ifp));
}

static int
port_ioctl(if_t ifp, u_long command, caddr_t data)
{
	struct port *port = if_getsoftc(ifp);
	struct ifreq *request = (struct ifreq *)data;

	switch (command) {
	case SIOCSIFFLAGS:
		atomic_add_int(&port->flag_changes, 1);
		return (0);
	case SIOCADDMULTI:
	case SIOCDELMULTI:
		return (0);
	case SIOCSIFMTU:
		if_setmtu(ifp, request->ifr_mtu);
		return (0);
	case SIOCSIFMEDIA:
	case SIOCGIFMEDIA:
	case SIOCGIFXMEDIA:
		return (ifmedia_ioctl(ifp, request, &port->media, command));
	default:
		return (ether_ioctl(ifp, command, data));
	}
}

static void
port_attach(u_int unit)
{
	struct port *port = &ports[unit];
	uint8_t address[ETHER_ADDR_LEN] = { 0x02, 'l', 'g', 't', 0, unit };

	port->ifp = if_alloc(IFT_ETHER);
	if_initname(port->ifp, "lgt", unit);
	if_setsoftc(port->ifp, port);
	if_setflags(port->ifp, IFF_BROADCAST | IFF_SIMPLEX | IFF_MULTICAST);
	if_setdrvflags(port->ifp, IFF_DRV_RUNNING);
	if_setinitfn(port->ifp, port_init);
	if_setioctlfn(port->ifp, port_ioctl);
	if_settransmitfn(port->ifp, port_transmit);
	if_setqflushfn(port->ifp, port_qflush);
	tags_attach(port->ifp);
	ifmedia_init(&port->media, 0, port_media_change, port_media_status);
	ifmedia_add(&port->media, IFM_ETHER | IFM_AUTO, 0, NULL);
	ifmedia_add(&port->media, IFM_ETHER | IFM_1000_T | IFM_FDX, 0, NULL);
	ifmedia_add(&port->media, IFM_ETHER | IFM_10G_T | IFM_FDX, 0, NULL);
	ifmedia_set(&port->media, IFM_ETHER | IFM_AUTO);
	partner_attach(port);
	ether_ifattach(port->ifp, address);
	port_media_change(port->ifp);
	cut &= ~(1u << unit);
	if_link_state_change(port->ifp, LINK_STATE_UP);
}

static void
port_detach(u_int unit)
{
	struct port *port = &ports[unit];

	ether_ifdetach(port->ifp);
	/* Threads that have read its methods before. */
	NET_EPOCH_WAIT();
	partner_detach(port);
	if_free(port->ifp);
	ifmedia_removeall(&port->media);
}

/* Changes the number of ports. The caller has traffic_lock, and nothing runs. */
int
ports_set(u_int count)
{
	if (count > PORTS_MAX)
		return (EINVAL);
	CURVNET_SET(vnet0);
	while (ports_count < count) {
		port_attach(ports_count);
		ports_count++;
	}
	while (ports_count > count) {
		ports_count--;
		port_detach(ports_count);
	}
	CURVNET_RESTORE();
	return (0);
}

static int
sysctl_ports(SYSCTL_HANDLER_ARGS)
{
	u_int count = ports_count;
	int error;

	error = sysctl_handle_int(oidp, &count, 0, req);
	if (error != 0 || req->newptr == NULL)
		return (error);
	sx_xlock(&traffic_lock);
	error = running ? EBUSY : ports_set(count);
	sx_xunlock(&traffic_lock);
	return (error);
}
SYSCTL_PROC(_kern_lagg_traffic, OID_AUTO, ports, CTLTYPE_UINT | CTLFLAG_RW | CTLFLAG_MPSAFE, NULL, 0, sysctl_ports, "IU",
    "How many ports there are");

static int
sysctl_cut(SYSCTL_HANDLER_ARGS)
{
	u_int value = cut;
	int error;

	error = sysctl_handle_int(oidp, &value, 0, req);
	if (error != 0 || req->newptr == NULL)
		return (error);
	sx_xlock(&traffic_lock);
	for (u_int n = 0; n < ports_count; n++)
		if (((cut ^ value) & (1u << n)) != 0)
			if_link_state_change(ports[n].ifp, (value & (1u << n)) != 0 ? LINK_STATE_DOWN : LINK_STATE_UP);
	cut = value;
	sx_xunlock(&traffic_lock);
	return (error);
}
SYSCTL_PROC(_kern_lagg_traffic, OID_AUTO, cut, CTLTYPE_UINT | CTLFLAG_RW | CTLFLAG_MPSAFE, NULL, 0, sysctl_cut, "IU",
    "A bit for each port whose link is down");
