/*
 * The macros and inline functions of the kernel that Rust uses, as functions. Their contracts are those of the manual
 * pages named.
 */
#ifndef LAGG_RS_SHIM_H
#define LAGG_RS_SHIM_H

MALLOC_DECLARE(M_LAGG);

/* Whether the kernel has netmap(4), as an option that Rust can read */
#ifdef DEV_NETMAP
#define	LAGG_RS_NETMAP	1
#else
#define	LAGG_RS_NETMAP	0
#endif

/* epoch(9) */
void	lagg_rs_epoch_enter(struct epoch_tracker *);
void	lagg_rs_epoch_exit(struct epoch_tracker *);

/* mutex(9), condvar(9), sx(9) */
void	lagg_rs_mtx_init(struct mtx *, const char *name);
void	lagg_rs_mtx_destroy(struct mtx *);
void	lagg_rs_mtx_lock(struct mtx *);
void	lagg_rs_mtx_unlock(struct mtx *);
void	lagg_rs_cv_wait(struct cv *, struct mtx *);
bool	lagg_rs_cv_wait_ms(struct cv *, struct mtx *, uint32_t ms);	/* true: timed out */
void	lagg_rs_cv_broadcast(struct cv *);
int	lagg_rs_detach_lock(void);					/* ifnet_detach_sxlock; an errno: a signal came */
void	lagg_rs_detach_unlock(void);

/* taskqueue(9). How urgent it is: 2 before network interrupts, 1 as they are, 0 as users' programs that nobody waits for */
int	lagg_rs_taskqueue_start(struct taskqueue **, uint32_t threads, uint32_t urgency, const char *name);
void	lagg_rs_task_init(struct task *, task_fn_t *, void *context);
void	lagg_rs_timeout_task_init(struct taskqueue *, struct timeout_task *, task_fn_t *, void *context);
void	lagg_rs_timeout_task_reset(struct taskqueue *, struct timeout_task *, uint32_t ms);

/* getmicrouptime(9) */
uint64_t lagg_rs_uptime_ms(void);

/* zpcpu, sys/pcpu.h: a number for each processor */
uint64_t *lagg_rs_percpu_alloc(void);
void	lagg_rs_percpu_free(uint64_t *);

/* sys/pcpu.h, sys/smp.h: the number of this processor, and how many numbers there are */
u_int	lagg_rs_processor(void);
u_int	lagg_rs_processors(void);

/* counter(9): eight of them side by side */
counter_u64_t lagg_rs_counters_alloc(void);
void	lagg_rs_counters_increment(counter_u64_t, size_t which);
void	lagg_rs_counters_free(counter_u64_t);

/* sysctl(9): the list below net.link.lagg.iface, and oids in memory of the caller's */
struct sysctl_oid_list *lagg_rs_nodes(void);
/* Below a node that is not in the tree yet; the one before it there, or NULL. */
void	lagg_rs_oid_append(struct sysctl_oid_list *, struct sysctl_oid *before, struct sysctl_oid *);
void	lagg_rs_oid_register(struct sysctl_oid *);
void	lagg_rs_oids_remove(struct sysctl_oid *, size_t count);	/* the first, and waits for readers of all; sleeps */

/* EVENTHANDLER(9) */
void	lagg_rs_iflladdr_event(struct ifnet *);
void	lagg_rs_baudrate_event(struct ifnet *);
eventhandler_tag lagg_rs_departure_register(ifnet_departure_event_handler_t);
void	lagg_rs_departure_deregister(eventhandler_tag);
eventhandler_tag lagg_rs_arrival_register(ifnet_arrival_event_handler_t);
void	lagg_rs_arrival_deregister(eventhandler_tag);
eventhandler_tag lagg_rs_vlan_config_register(vlan_config_fn);
void	lagg_rs_vlan_config_deregister(eventhandler_tag);
eventhandler_tag lagg_rs_vlan_unconfig_register(vlan_unconfig_fn);
void	lagg_rs_vlan_unconfig_deregister(eventhandler_tag);
void	lagg_rs_vlan_events(struct ifnet *, uint16_t first, uint64_t ids, bool configured);

/* vnet(9): returns the vnet that the thread was in */
struct vnet *lagg_rs_vnet_enter(struct ifnet *);
void	lagg_rs_vnet_leave(struct vnet *);

/* log(9): a notice that begins with the interface's name */
void	lagg_rs_log(const char *name, const char *line);

/* devctl(4), in the interface's vnet: only that of the host is told of */
void	lagg_rs_notify(const char *lagg, const char *type, const char *data);

/* kmod/probes.c: the probes of DTrace, in any context */
void	lagg_rs_probe_plan_publish(struct ifnet *lagg, const char *protocol, u_int ports, u_int active);
void	lagg_rs_probe_port_join(struct ifnet *lagg, const char *port, int error);
void	lagg_rs_probe_port_leave(struct ifnet *lagg, struct ifnet *port);
void	lagg_rs_probe_port_state(struct ifnet *lagg, struct ifnet *port, const char *from, const char *to);
void	lagg_rs_probe_failover(struct ifnet *lagg, const char *from, const char *to, const char *reason);
void	lagg_rs_probe_link_state(struct ifnet *lagg, bool up, u_int active, u_int min_links);
void	lagg_rs_probe_lacp_mux(struct ifnet *lagg, struct ifnet *port, const char *from, const char *to);
void	lagg_rs_probe_lacp_receive(struct ifnet *lagg, struct ifnet *port, const char *from, const char *to);
void	lagg_rs_probe_lacp_pdu(struct ifnet *lagg, struct ifnet *port, bool in, const uint8_t *, size_t);
void	lagg_rs_probe_lacp_select(struct ifnet *lagg, int from, int to);
void	lagg_rs_probe_lacp_pause(struct ifnet *lagg, struct ifnet *port, u_int buckets);
void	lagg_rs_probe_lacp_resume(struct ifnet *lagg, struct ifnet *port, u_int buckets, u_int ms);
void	lagg_rs_probe_bucket_move(struct ifnet *lagg, struct ifnet *from, struct ifnet *to, u_int buckets);
void	lagg_rs_probe_drop(struct ifnet *lagg, struct ifnet *port, struct mbuf *, const char *reason);

/* ifnet(9) */
uint8_t	*lagg_rs_lladdr(struct ifnet *);				/* NULL: it is not attached yet */
bool	lagg_rs_has_ipv6_lladdr(struct ifnet *);
void	lagg_rs_in6_detach(struct ifnet *);
struct ifnet *lagg_rs_vlan_of(struct ifnet *, uint16_t *id);		/* in the epoch */
struct ifnet *lagg_rs_vlan(struct ifnet *, uint16_t id);		/* in the epoch */
uint64_t lagg_rs_vlans(struct ifnet *, uint16_t first, uint64_t ids);	/* in the epoch */
void	lagg_rs_vlan_capabilities(struct ifnet *);

/* kmod/layout.c: whether struct ifnet is what the module was built with; says so if not. Sleeps. */
bool	lagg_rs_layout_fits(void);

/* kmod/peers.c: in the interface's vnet and the epoch; lagg_rs_detect_duplicates in the lagg's vnet, and it may sleep */
bool	lagg_rs_announce(struct ifnet *);				/* whether it has vhids of carp(4) */
void	lagg_rs_carp_announce(void);
void	lagg_rs_detect_duplicates(struct ifnet *, uint64_t since);	/* those made since, in seconds of uptime */
struct ifnet *lagg_rs_bridge(struct ifnet *);				/* NULL: it is no member of one */

/* mbuf(9): a packet for a group; NULL: no memory */
struct mbuf *lagg_rs_mbuf(const uint8_t *, size_t);

/* sys/mbuf.h: references to send tags */
void	lagg_rs_tag_ref(struct m_snd_tag *);
void	lagg_rs_tag_rele(struct m_snd_tag *);

/* priv(9) */
int	lagg_rs_priv_check(void);

/* kmod/module.c: the sysctls of the current vnet */
int	lagg_rs_failover_rx_all(void);
int	lagg_rs_default_use_flowid(void);
int	lagg_rs_default_use_numa(void);
int	lagg_rs_default_flowid_shift(void);
int	lagg_rs_default_min_links(void);
int	lagg_rs_default_up_delay(void);
int	lagg_rs_default_down_delay(void);
int	lagg_rs_default_notify_peers(void);
int	lagg_rs_debug(void);
int	lagg_rs_default_strict_mode(void);

#endif
