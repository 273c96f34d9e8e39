/*
 * How long packets take: in the thread that asks, and with the same packets again and again, so that hardly more is
 * measured than the way through the lagg. Sent to a port itself, or received by one that is no lagg's, they cost what
 * all this costs without a lagg. Best on one CPU, as a port takes whatever it is to send meanwhile for one of these.
 */
#include "traffic.h"

#include <machine/cpu.h>

/* net/if_lagg.h would need many other headers. */
extern struct mbuf *(*lagg_input_ethernet_p)(struct ifnet *, struct mbuf *);

struct mbuf *bench_packet;

static struct mbuf *kept[FLOWS];
static uint64_t ticks_taken;

static void
let_go(void)
{
	for (u_int flow = 0; flow < FLOWS; flow++) {
		m_freem(kept[flow]);
		kept[flow] = NULL;
	}
}

static int
keep(void)
{
	for (u_int flow = 0; flow < FLOWS; flow++) {
		kept[flow] = packet_new(WRITER, flow);
		if (kept[flow] == NULL) {
			let_go();
			return (ENOBUFS);
		}
	}
	return (0);
}

/* ENETDOWN and the like: the lagg has refused one, and freed it. */
static int
transmit(if_t ifp, u_int packets)
{
	struct epoch_tracker et;
	int error = 0;

	for (u_int n = 0; n < packets && error == 0; n += BURST) {
		NET_EPOCH_ENTER(et);
		for (u_int flow = n; flow < n + BURST; flow++) {
			bench_packet = kept[flow % FLOWS];
			error = if_transmit(ifp, bench_packet);
			if (__predict_false(error != 0)) {
				kept[flow % FLOWS] = NULL;
				break;
			}
		}
		NET_EPOCH_EXIT(et);
	}
	bench_packet = NULL;
	return (error);
}

/* ENETDOWN: the lagg did not accept one, and freed it. */
static int
input(if_t port, u_int packets)
{
	struct epoch_tracker et;
	struct mbuf *m;
	int error = 0;

	for (u_int n = 0; n < packets && error == 0; n += BURST) {
		NET_EPOCH_ENTER(et);
		for (u_int flow = n; flow < n + BURST; flow++) {
			m = kept[flow % FLOWS];
			m->m_pkthdr.rcvif = port;
			if (if_gettype(port) != IFT_IEEE8023ADLAG)
				continue;
			if (__predict_false(lagg_input_ethernet_p(port, m) == NULL)) {
				kept[flow % FLOWS] = NULL;
				error = ENETDOWN;
				break;
			}
		}
		NET_EPOCH_EXIT(et);
	}
	return (error);
}

/* The sysctls transmit, to the interface that the sysctl lagg names, and input (arg2 1), by lgt0. */
static int
sysctl_bench(SYSCTL_HANDLER_ARGS)
{
	uint64_t value = ticks_taken;
	uint64_t start;
	int error;
	if_t ifp;

	error = sysctl_handle_64(oidp, &value, 0, req);
	if (error != 0 || req->newptr == NULL)
		return (error);
	sx_xlock(&traffic_lock);
	CURVNET_SET(vnet0);
	if (running) {
		error = EBUSY;
	} else if ((ifp = ifunit_ref(arg2 ? "lgt0" : lagg_name)) == NULL) {
		error = ENXIO;
	} else {
		error = keep();
		if (error == 0) {
			start = cpu_ticks();
			error = arg2 ? input(ifp, value) : transmit(ifp, value);
			ticks_taken = cpu_ticks() - start;
			let_go();
		}
		if_rele(ifp);
	}
	CURVNET_RESTORE();
	sx_xunlock(&traffic_lock);
	return (error);
}
SYSCTL_PROC(_kern_lagg_traffic, OID_AUTO, transmit, CTLTYPE_U64 | CTLFLAG_RW | CTLFLAG_MPSAFE, NULL, 0, sysctl_bench, "QU",
    "Write: send as many packets; read: the CPU's ticks that they took");
SYSCTL_PROC(_kern_lagg_traffic, OID_AUTO, input, CTLTYPE_U64 | CTLFLAG_RW | CTLFLAG_MPSAFE, NULL, 1, sysctl_bench, "QU",
    "Write: receive as many packets; read: the CPU's ticks that they took");
