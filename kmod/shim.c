/* See shim.h. */
#include "opt_inet.h"
#include "opt_inet6.h"

#include <sys/syslog.h>

#include "wrapper.h"

MALLOC_DEFINE(M_LAGG, "lagg", "link aggregation");

void
lagg_rs_epoch_enter(struct epoch_tracker *et)
{
	NET_EPOCH_ENTER(*et);
}

void
lagg_rs_epoch_exit(struct epoch_tracker *et)
{
	NET_EPOCH_EXIT(*et);
}

void
lagg_rs_mtx_init(struct mtx *m, const char *name)
{
	mtx_init(m, name, NULL, MTX_DEF | MTX_NEW);
}

void
lagg_rs_mtx_destroy(struct mtx *m)
{
	mtx_destroy(m);
}

void
lagg_rs_mtx_lock(struct mtx *m)
{
	mtx_lock(m);
}

void
lagg_rs_mtx_unlock(struct mtx *m)
{
	mtx_unlock(m);
}

void
lagg_rs_cv_wait(struct cv *cv, struct mtx *m)
{
	cv_wait(cv, m);
}

bool
lagg_rs_cv_wait_ms(struct cv *cv, struct mtx *m, uint32_t ms)
{
	return (cv_timedwait_sbt(cv, m, ms * SBT_1MS, 0, 0) == EWOULDBLOCK);
}

void
lagg_rs_cv_broadcast(struct cv *cv)
{
	cv_broadcast(cv);
}

int
lagg_rs_detach_lock(void)
{
	return (sx_xlock_sig(&ifnet_detach_sxlock));
}

void
lagg_rs_detach_unlock(void)
{
	sx_xunlock(&ifnet_detach_sxlock);
}

int
lagg_rs_taskqueue_start(struct taskqueue **queue, uint32_t threads, uint32_t urgency, const char *name)
{
	/* Between programs that somebody waits for, and those that compute. */
	const int background = (PRI_MIN_TIMESHARE + PRI_MAX_TIMESHARE) / 2;
	const int priorities[] = { background, PI_NET, PI_REALTIME };

	return (taskqueue_start_threads(queue, threads, priorities[urgency], "%s", name));
}

void
lagg_rs_task_init(struct task *task, task_fn_t *run, void *context)
{
	TASK_INIT(task, 0, run, context);
}

void
lagg_rs_timeout_task_init(struct taskqueue *queue, struct timeout_task *task, task_fn_t *run, void *context)
{
	TIMEOUT_TASK_INIT(queue, task, 0, run, context);
}

void
lagg_rs_timeout_task_reset(struct taskqueue *queue, struct timeout_task *task, uint32_t ms)
{
	/* 0 would not replace a time that was set before. */
	taskqueue_enqueue_timeout_sbt(queue, task, ms == 0 ? 1 : ms * SBT_1MS, 0, 0);
}

uint64_t
lagg_rs_uptime_ms(void)
{
	return (getsbinuptime() / SBT_1MS);
}

u_int
lagg_rs_processor(void)
{
	return (curcpu);
}

u_int
lagg_rs_processors(void)
{
	return (mp_maxid + 1);
}

uint64_t *
lagg_rs_percpu_alloc(void)
{
	return (uma_zalloc_pcpu(pcpu_zone_8, M_WAITOK | M_ZERO));
}

void
lagg_rs_percpu_free(uint64_t *base)
{
	uma_zfree_pcpu(pcpu_zone_8, base);
}

counter_u64_t
lagg_rs_counters_alloc(void)
{
	return (uma_zalloc_pcpu(pcpu_zone_64, M_WAITOK | M_ZERO));
}

void
lagg_rs_counters_increment(counter_u64_t counters, size_t which)
{
	counter_u64_add(counters + which, 1);
}

void
lagg_rs_counters_free(counter_u64_t counters)
{
	uma_zfree_pcpu(pcpu_zone_64, counters);
}

void
lagg_rs_iflladdr_event(struct ifnet *ifp)
{
	EVENTHANDLER_INVOKE(iflladdr_event, ifp);
}

void
lagg_rs_baudrate_event(struct ifnet *ifp)
{
	EVENTHANDLER_INVOKE(ifnet_event, ifp, IFNET_EVENT_UPDATE_BAUDRATE);
}

eventhandler_tag
lagg_rs_departure_register(ifnet_departure_event_handler_t handler)
{
	return (EVENTHANDLER_REGISTER(ifnet_departure_event, handler, NULL, EVENTHANDLER_PRI_ANY));
}

void
lagg_rs_departure_deregister(eventhandler_tag tag)
{
	EVENTHANDLER_DEREGISTER(ifnet_departure_event, tag);
}

eventhandler_tag
lagg_rs_arrival_register(ifnet_arrival_event_handler_t handler)
{
	return (EVENTHANDLER_REGISTER(ifnet_arrival_event, handler, NULL, EVENTHANDLER_PRI_ANY));
}

void
lagg_rs_arrival_deregister(eventhandler_tag tag)
{
	EVENTHANDLER_DEREGISTER(ifnet_arrival_event, tag);
}

eventhandler_tag
lagg_rs_vlan_config_register(vlan_config_fn handler)
{
	return (EVENTHANDLER_REGISTER(vlan_config, handler, NULL, EVENTHANDLER_PRI_FIRST));
}

void
lagg_rs_vlan_config_deregister(eventhandler_tag tag)
{
	EVENTHANDLER_DEREGISTER(vlan_config, tag);
}

eventhandler_tag
lagg_rs_vlan_unconfig_register(vlan_unconfig_fn handler)
{
	return (EVENTHANDLER_REGISTER(vlan_unconfig, handler, NULL, EVENTHANDLER_PRI_FIRST));
}

void
lagg_rs_vlan_unconfig_deregister(eventhandler_tag tag)
{
	EVENTHANDLER_DEREGISTER(vlan_unconfig, tag);
}

/* Looks the list up by name once, not for each id. */
#define	VLAN_EVENTS(event, ifp, first, ids) do {						\
	struct eventhandler_list *list = ids == 0 ? NULL : eventhandler_find_list(#event);	\
	for (; list != NULL && ids != 0; ids &= ids - 1) {					\
		_EVENTHANDLER_INVOKE(event, list, ifp, first + ffsll(ids) - 1);			\
		EHL_LOCK(list);									\
	}											\
	if (list != NULL)									\
		EHL_UNLOCK(list);								\
} while (0)

void
lagg_rs_vlan_events(struct ifnet *ifp, uint16_t first, uint64_t ids, bool configured)
{
	if (configured)
		VLAN_EVENTS(vlan_config, ifp, first, ids);
	else
		VLAN_EVENTS(vlan_unconfig, ifp, first, ids);
}

struct vnet *
lagg_rs_vnet_enter(struct ifnet *ifp)
{
#ifdef VIMAGE
	struct vnet *before = curvnet;

	curvnet = ifp->if_vnet;
	return (before);
#else
	return (NULL);
#endif
}

void
lagg_rs_vnet_leave(struct vnet *before)
{
#ifdef VIMAGE
	curvnet = before;
#endif
}

void
lagg_rs_log(const char *name, const char *line)
{
	log(LOG_NOTICE, "%s: %s\n", name, line);
}

void
lagg_rs_notify(const char *lagg, const char *type, const char *data)
{
	if (IS_DEFAULT_VNET(curvnet))
		devctl_notify("LAGG", lagg, type, data);
}

uint8_t *
lagg_rs_lladdr(struct ifnet *ifp)
{
	struct ifaddr *ifa = ifp->if_addr;

	return (ifa == NULL ? NULL : LLADDR((struct sockaddr_dl *)ifa->ifa_addr));
}

bool
lagg_rs_has_ipv6_lladdr(struct ifnet *ifp)
{
#ifdef INET6
	/* An interface that IPv6 was never attached to has no state to look at. */
	return (ifp->if_afdata[AF_INET6] != NULL && in6ifa_llaonifp(ifp) != NULL);
#else
	return (false);
#endif
}

void
lagg_rs_in6_detach(struct ifnet *ifp)
{
#ifdef INET6
	in6_ifdetach(ifp);
#endif
}

struct ifnet *
lagg_rs_vlan_of(struct ifnet *ifp, uint16_t *id)
{
	return (VLAN_TAG(ifp, id) == 0 ? VLAN_TRUNKDEV(ifp) : NULL);
}

struct ifnet *
lagg_rs_vlan(struct ifnet *ifp, uint16_t id)
{
	return (VLAN_DEVAT(ifp, id));
}

uint64_t
lagg_rs_vlans(struct ifnet *ifp, uint16_t first, uint64_t ids)
{
	uint64_t own = 0;

	for (; if_getvlantrunk(ifp) != NULL && ids != 0; ids &= ids - 1) {
		if (VLAN_DEVAT(ifp, first + ffsll(ids) - 1) != NULL)
			own |= ids & -ids;
	}
	return (own);
}

void
lagg_rs_vlan_capabilities(struct ifnet *ifp)
{
	VLAN_CAPABILITIES(ifp);
}

struct mbuf *
lagg_rs_mbuf(const uint8_t *bytes, size_t length)
{
	struct mbuf *m = m_get2(length, M_NOWAIT, MT_DATA, M_PKTHDR);

	if (m != NULL) {
		memcpy(mtod(m, uint8_t *), bytes, length);
		m->m_len = m->m_pkthdr.len = length;
		m->m_flags |= M_MCAST;
	}
	return (m);
}

void
lagg_rs_tag_ref(struct m_snd_tag *tag)
{
	m_snd_tag_ref(tag);
}

void
lagg_rs_tag_rele(struct m_snd_tag *tag)
{
	m_snd_tag_rele(tag);
}

int
lagg_rs_priv_check(void)
{
	return (priv_check(curthread, PRIV_NET_LAGG));
}
