/*
 * The probes of DTrace, provider lagg. A probe that is off costs its call, a nop and the return. See shim.h and lagg_rs(4).
 */
#include "wrapper.h"

#include <sys/sdt.h>

#if defined(KDTRACE_HOOKS) && __FreeBSD_version >= 1500000
/*
 * Only code that DTrace patches in calls this. So a kernel without KDTRACE_HOOKS, which has neither DTrace nor this,
 * loads the module too. FreeBSD 14's probes look at a variable of DTrace's, so there it is refused.
 */
__WEAK(sdt_probe);
#endif

SDT_PROVIDER_DEFINE(lagg);

static __unused inline const char *
name_of(struct ifnet *ifp)
{
	return (ifp == NULL ? "" : ifp->if_xname);
}

SDT_PROBE_DEFINE4(lagg, , , plan__publish, "char *", "char *", "int", "int");

void
lagg_rs_probe_plan_publish(struct ifnet *lagg, const char *protocol, u_int ports, u_int active)
{
	SDT_PROBE4(lagg, , , plan__publish, lagg->if_xname, protocol, ports, active);
}

SDT_PROBE_DEFINE3(lagg, , , port__join, "char *", "char *", "int");

void
lagg_rs_probe_port_join(struct ifnet *lagg, const char *port, int error)
{
	SDT_PROBE3(lagg, , , port__join, lagg->if_xname, port, error);
}

SDT_PROBE_DEFINE3(lagg, , , port__leave, "char *", "char *", "int");

void
lagg_rs_probe_port_leave(struct ifnet *lagg, struct ifnet *port)
{
	SDT_PROBE3(lagg, , , port__leave, lagg->if_xname, port->if_xname, 0);
}

SDT_PROBE_DEFINE4(lagg, , , port__state, "char *", "char *", "char *", "char *");

void
lagg_rs_probe_port_state(struct ifnet *lagg, struct ifnet *port, const char *from, const char *to)
{
	SDT_PROBE4(lagg, , , port__state, lagg->if_xname, port->if_xname, from, to);
}

SDT_PROBE_DEFINE4(lagg, , , failover, "char *", "char *", "char *", "char *");

void
lagg_rs_probe_failover(struct ifnet *lagg, const char *from, const char *to, const char *reason)
{
	SDT_PROBE4(lagg, , , failover, lagg->if_xname, from, to, reason);
}

SDT_PROBE_DEFINE4(lagg, , , link__state, "char *", "int", "int", "int");

void
lagg_rs_probe_link_state(struct ifnet *lagg, bool up, u_int active, u_int min_links)
{
	SDT_PROBE4(lagg, , , link__state, lagg->if_xname, up, active, min_links);
}

SDT_PROBE_DEFINE4(lagg, , , lacp__mux, "char *", "char *", "char *", "char *");

void
lagg_rs_probe_lacp_mux(struct ifnet *lagg, struct ifnet *port, const char *from, const char *to)
{
	SDT_PROBE4(lagg, , , lacp__mux, lagg->if_xname, port->if_xname, from, to);
}

SDT_PROBE_DEFINE4(lagg, , , lacp__receive, "char *", "char *", "char *", "char *");

void
lagg_rs_probe_lacp_receive(struct ifnet *lagg, struct ifnet *port, const char *from, const char *to)
{
	SDT_PROBE4(lagg, , , lacp__receive, lagg->if_xname, port->if_xname, from, to);
}

SDT_PROBE_DEFINE4(lagg, , , lacp__pdu__in, "char *", "char *", "uint8_t *", "int");
SDT_PROBE_DEFINE4(lagg, , , lacp__pdu__out, "char *", "char *", "uint8_t *", "int");

void
lagg_rs_probe_lacp_pdu(struct ifnet *lagg, struct ifnet *port, bool in, const uint8_t *bytes, size_t length)
{
	if (in)
		SDT_PROBE4(lagg, , , lacp__pdu__in, lagg->if_xname, port->if_xname, bytes, length);
	else
		SDT_PROBE4(lagg, , , lacp__pdu__out, lagg->if_xname, port->if_xname, bytes, length);
}

SDT_PROBE_DEFINE3(lagg, , , lacp__select, "char *", "int", "int");

void
lagg_rs_probe_lacp_select(struct ifnet *lagg, int from, int to)
{
	SDT_PROBE3(lagg, , , lacp__select, lagg->if_xname, from, to);
}

SDT_PROBE_DEFINE3(lagg, , , lacp__pause, "char *", "char *", "int");

void
lagg_rs_probe_lacp_pause(struct ifnet *lagg, struct ifnet *port, u_int buckets)
{
	SDT_PROBE3(lagg, , , lacp__pause, lagg->if_xname, name_of(port), buckets);
}

SDT_PROBE_DEFINE4(lagg, , , lacp__resume, "char *", "char *", "int", "int");

void
lagg_rs_probe_lacp_resume(struct ifnet *lagg, struct ifnet *port, u_int buckets, u_int ms)
{
	SDT_PROBE4(lagg, , , lacp__resume, lagg->if_xname, name_of(port), buckets, ms);
}

SDT_PROBE_DEFINE4(lagg, , , bucket__move, "char *", "char *", "char *", "int");

void
lagg_rs_probe_bucket_move(struct ifnet *lagg, struct ifnet *from, struct ifnet *to, u_int buckets)
{
	SDT_PROBE4(lagg, , , bucket__move, lagg->if_xname, name_of(from), name_of(to), buckets);
}

SDT_PROBE_DEFINE4(lagg, , , drop, "char *", "char *", "struct mbuf *", "char *");

void
lagg_rs_probe_drop(struct ifnet *lagg, struct ifnet *port, struct mbuf *m, const char *reason)
{
	SDT_PROBE4(lagg, , , drop, lagg->if_xname, name_of(port), m, reason);
}
