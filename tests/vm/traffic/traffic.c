/*
 * The module, its threads, and what became of their packets.
 */
#include "traffic.h"

SYSCTL_NODE(_kern, OID_AUTO, lagg_traffic, CTLFLAG_RW | CTLFLAG_MPSAFE, 0, "Traffic to test lagg with");

struct sx traffic_lock;
SX_SYSINIT(traffic_lock, &traffic_lock, "traffic");

struct worker workers[WORKERS];
bool	running;

char	lagg_name[IFNAMSIZ] = "lagg0";
SYSCTL_STRING(_kern_lagg_traffic, OID_AUTO, lagg, CTLFLAG_RW, lagg_name, sizeof(lagg_name), "Where packets are sent to");

static u_int threads = 2;
SYSCTL_UINT(_kern_lagg_traffic, OID_AUTO, threads, CTLFLAG_RW, &threads, 0, "How many threads send, and as many receive");

static struct taskqueue *queue;
static struct task tasks[WORKERS];
static sbintime_t began, took;
static pfil_hook_t hook;

/*
 * offered = sent + lost + failed - partial, where failed is the sum of all "failed <errno>".
 * injected = as_lagg + as_port + refused + down.
 */
static const char *const names[COUNTERS] = {
	[OFFERED] = "offered",		/* given to the lagg to be sent */
	[SENT] = "sent",		/* of these: arrived at a port */
	[COPIES] = "copies",		/* what arrived besides: broadcast's */
	[LOST] = "lost",		/* neither arrived nor was there an error */
	[PARTIAL] = "partial",		/* an error, but it had arrived at a port: broadcast's */
	[INJECTED] = "injected",	/* received by a port */
	[AS_LAGG] = "as_lagg",		/* of these: went on as the lagg's */
	[AS_PORT] = "as_port",		/* went on as the port's own: it was no lagg's */
	[REFUSED] = "refused",		/* went nowhere: the lagg has dropped it */
	[DOWN] = "down",		/* the same as the port went down or up: the lagg, or the stack, which does not count */
	[NO_MEMORY] = "no_memory",	/* was not made */
	[ANSWERS] = "answers",		/* of the partner besides: the lagg may drop those too */
};

/* To a group without members: the stack accepts such frames on every interface. */
#define	TO	{ 0x03, 'l', 'g', 't', 0, 0 }

struct mbuf *
packet_new(u_int worker, u_int flow)
{
	static const struct packet model = {
		.ether = { .ether_dhost = TO, .ether_shost = { 0x02, 'l', 'g', 't', 1, 0 }, .ether_type = htons(ETHERTYPE_IP) },
		.ip = {
			.ip_v = IPVERSION,
			.ip_hl = sizeof(struct ip) / 4,
			.ip_len = htons(sizeof(struct packet) - ETHER_HDR_LEN),
			.ip_ttl = 64,
			.ip_p = IPPROTO_UDP,
			.ip_src.s_addr = htonl(0xc0000201),	/* 192.0.2.1 */
			.ip_dst.s_addr = htonl(0xc0000202),
		},
		.udp = { .uh_dport = htons(9), .uh_ulen = htons(sizeof(struct packet) - ETHER_HDR_LEN - sizeof(struct ip)) },
	};
	struct packet *packet;
	struct mbuf *m;

	m = m_gethdr(M_NOWAIT, MT_DATA);
	if (m == NULL)
		return (NULL);
	m->m_data += ETHER_ALIGN;
	m->m_len = m->m_pkthdr.len = sizeof(*packet);
	packet = mtod(m, struct packet *);
	*packet = model;
	packet->udp.uh_sport = htons(1024 + flow % FLOWS);
	packet->worker = worker;
	packet->flow = flow % FLOWS;
	return (m);
}

struct packet *
packet_of(struct mbuf *m)
{
	static const uint8_t to[ETHER_ADDR_LEN] = TO;
	struct packet *packet = mtod(m, struct packet *);

	if (m->m_len < (int)sizeof(*packet) || memcmp(packet->ether.ether_dhost, to, sizeof(to)) != 0)
		return (NULL);
	return (packet);
}

static void
send_one(struct worker *worker, if_t lagg)
{
	u_int flow = worker->next++ % FLOWS;
	struct mbuf *m;
	int error;

	m = packet_new(worker - workers, flow);
	if (m == NULL) {
		worker->counter[NO_MEMORY]++;
		return;
	}
	tags_stamp(worker, lagg, m, flow);
	worker->arrived = 0;
	error = if_transmit(lagg, m);
	if (error == EAGAIN)
		tags_drop(worker, flow);
	worker->counter[OFFERED]++;
	if (error != 0) {
		worker->failed[MIN(error, ELAST)]++;
		worker->counter[PARTIAL] += worker->arrived != 0;
	} else if (worker->arrived == 0)
		worker->counter[LOST]++;
	if (worker->arrived != 0) {
		worker->counter[SENT]++;
		worker->counter[COPIES] += worker->arrived - 1;
	}
}

static void
receive_one(struct worker *worker)
{
	struct port *port = port_number(worker->next % ports_count);
	struct mbuf *m;
	u_int changes;
	bool up;

	m = packet_new(worker - workers, worker->next++);
	if (m == NULL) {
		worker->counter[NO_MEMORY]++;
		return;
	}
	m->m_pkthdr.rcvif = port->ifp;
	worker->arrived = worker->as_lagg = 0;
	if_inc_counter(port->ifp, IFCOUNTER_IPACKETS, 1);
	changes = atomic_load_acq_int(&port->flag_changes);
	up = if_getflags(port->ifp) & IFF_UP;
	if_input(port->ifp, m);
	worker->counter[INJECTED]++;
	if (worker->arrived != 0)
		worker->counter[worker->as_lagg ? AS_LAGG : AS_PORT]++;
	/* In this order: it was up all the time. A new address takes it down, too. */
	else if (up && (if_getflags(port->ifp) & IFF_UP) != 0 && changes == atomic_load_acq_int(&port->flag_changes))
		worker->counter[REFUSED]++;
	else
		worker->counter[DOWN]++;
}

/* What an interface has received and the stack is about to take in. */
static pfil_return_t
received(struct mbuf **m, if_t ifp, int flags __unused, void *context __unused, struct inpcb *inp __unused)
{
	struct packet *packet = packet_of(*m);

	if (packet == NULL)
		return (PFIL_PASS);
	workers[packet->worker].arrived++;
	workers[packet->worker].as_lagg = !port_is(ifp);
	m_freem(*m);
	*m = NULL;
	return (PFIL_CONSUMED);
}

/* Once a tick: threads that change the lagg need to run as well. */
static void
let_others_run(struct worker *worker)
{
	if (worker->resumed == ticks)
		return;
	kern_yield(PRI_USER);
	worker->resumed = ticks;
}

static void
send_task(void *context, int pending __unused)
{
	struct epoch_tracker et;
	if_t lagg;

	CURVNET_SET(vnet0);
	while (atomic_load_bool(&running)) {
		lagg = ifunit_ref(lagg_name);
		if (lagg == NULL) {
			pause("lgtlagg", 1);
			continue;
		}
		NET_EPOCH_ENTER(et);
		for (u_int n = 0; n < BURST; n++)
			send_one(context, lagg);
		NET_EPOCH_EXIT(et);
		if_rele(lagg);
		let_others_run(context);
	}
	CURVNET_RESTORE();
}

static void
receive_task(void *context, int pending __unused)
{
	struct epoch_tracker et;

	CURVNET_SET(vnet0);
	while (atomic_load_bool(&running)) {
		NET_EPOCH_ENTER(et);
		for (u_int n = 0; n < BURST; n++)
			receive_one(context);
		NET_EPOCH_EXIT(et);
		let_others_run(context);
	}
	CURVNET_RESTORE();
}

static int
traffic_start(void)
{
	int error;

	if (running)
		return (EBUSY);
	if (threads == 0 || threads > THREADS_MAX || ports_count == 0)
		return (EINVAL);
	tags_drop_all();
	memset(workers, 0, sizeof(workers));
	queue = taskqueue_create("lagg_traffic", M_WAITOK, taskqueue_thread_enqueue, &queue);
	error = taskqueue_start_threads(&queue, 2 * threads, PWAIT, "lagg_traffic");
	if (error != 0) {
		taskqueue_free(queue);
		return (error);
	}
	running = true;
	began = sbinuptime();
	for (u_int n = 0; n < 2 * threads; n++) {
		TASK_INIT(&tasks[n], 0, n < threads ? send_task : receive_task, &workers[n]);
		taskqueue_enqueue(queue, &tasks[n]);
	}
	return (0);
}

/* The caller has traffic_lock. Returns when no packet is under way. */
void
traffic_stop(void)
{
	if (!running)
		return;
	atomic_store_bool(&running, false);
	taskqueue_free(queue);
	tags_drop_all();
	took = sbinuptime() - began;
}

static int
sysctl_run(SYSCTL_HANDLER_ARGS)
{
	int run = running;
	int error;

	error = sysctl_handle_int(oidp, &run, 0, req);
	if (error != 0 || req->newptr == NULL)
		return (error);
	sx_xlock(&traffic_lock);
	if (run != 0)
		error = traffic_start();
	else
		traffic_stop();
	sx_xunlock(&traffic_lock);
	return (error);
}
SYSCTL_PROC(_kern_lagg_traffic, OID_AUTO, run, CTLTYPE_INT | CTLFLAG_RW | CTLFLAG_MPSAFE, NULL, 0, sysctl_run, "I",
    "1: counters to zero, and go; 0: stop");

/* Exact when stopped; before that, about right. */
static int
sysctl_counters(SYSCTL_HANDLER_ARGS)
{
	struct sbuf text;
	uint64_t sum;
	int error;

	error = sysctl_wire_old_buffer(req, 0);
	if (error != 0)
		return (error);
	sbuf_new_for_sysctl(&text, NULL, 256, req);
	sbuf_printf(&text, "milliseconds %ju\n", (uintmax_t)(sbttoms(running ? sbinuptime() - began : took)));
	for (u_int n = 0; n < COUNTERS; n++) {
		sum = 0;
		for (u_int w = 0; w < WORKERS; w++)
			sum += workers[w].counter[n];
		sbuf_printf(&text, "%s %ju\n", names[n], (uintmax_t)sum);
	}
	for (u_int errno = 0; errno <= ELAST; errno++) {
		sum = 0;
		for (u_int w = 0; w < WORKERS; w++)
			sum += workers[w].failed[errno];
		if (sum != 0)
			sbuf_printf(&text, "failed %u %ju\n", errno, (uintmax_t)sum);
	}
	error = sbuf_finish(&text);
	sbuf_delete(&text);
	return (error);
}
SYSCTL_PROC(_kern_lagg_traffic, OID_AUTO, counters, CTLTYPE_STRING | CTLFLAG_RD | CTLFLAG_MPSAFE, NULL, 0, sysctl_counters,
    "A", "What became of the packets");

static int
traffic_hook(void)
{
	struct pfil_hook_args args = {
		.pa_version = PFIL_VERSION,
		.pa_flags = PFIL_IN,
		.pa_type = PFIL_TYPE_ETHERNET,
		.pa_mbuf_chk = received,
		.pa_modname = "lagg_traffic",
		.pa_rulname = "received",
	};
	struct pfil_link_args link = {
		.pa_version = PFIL_VERSION,
		.pa_flags = PFIL_IN | PFIL_HEADPTR | PFIL_HOOKPTR,
	};
	int error;

	CURVNET_SET(vnet0);
	hook = pfil_add_hook(&args);
	link.pa_head = V_link_pfil_head;
	link.pa_hook = hook;
	error = pfil_link(&link);
	if (error != 0)
		pfil_remove_hook(hook);
	CURVNET_RESTORE();
	return (error);
}

static int
traffic_event(module_t module __unused, int what, void *context __unused)
{
	int error;

	switch (what) {
	case MOD_LOAD:
		return (traffic_hook());
	case MOD_UNLOAD:
		sx_xlock(&traffic_lock);
		traffic_stop();
		error = tags_unload();
		if (error == 0)
			ports_set(0);
		sx_xunlock(&traffic_lock);
		if (error != 0)
			return (error);
		CURVNET_SET(vnet0);
		pfil_remove_hook(hook);
		NET_EPOCH_WAIT();
		CURVNET_RESTORE();
		return (0);
	default:
		return (EOPNOTSUPP);
	}
}

static moduledata_t traffic_module = { "lagg_traffic", traffic_event, NULL };
DECLARE_MODULE(lagg_traffic, traffic_module, SI_SUB_PSEUDO, SI_ORDER_ANY);
MODULE_VERSION(lagg_traffic, 1);
