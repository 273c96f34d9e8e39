/*
 * Send tags: what the ports make of them, in software, and those who ask the lagg for them: the threads that send, and
 * whoever writes a command to the sysctl tag. What became of the last one it says when it is read: its error number,
 * and the interface that it is about, if any.
 *
 * alloc TYPE FLOW [DOMAIN]  a tag of that type (IF_SND_TAG_TYPE_*), which is kept; the interface that made the one under it
 * send FLOW        a packet with the tag that is kept; the port that it arrived at
 * modify RATE, query, status  methods of the tag that is kept; query says the rate
 * free             the tag that is kept goes
 * open RATE        a UDP socket to 192.0.2.2 that is paced, in bytes a second: the kernel's own user of tags
 * rate RATE        paces it otherwise
 * datagram         sends one; the port that it arrived at, if with a tag
 * close
 */
#include "traffic.h"

#include <sys/malloc.h>
#include <sys/socketvar.h>

MALLOC_DEFINE(M_LAGG_TRAFFIC, "lagg_traffic", "send tags of lagg_traffic");

struct port_tag {
	struct m_snd_tag tag;		/* the kernel's part */
	uint64_t	rate;
};

bool	tags_wanted;
SYSCTL_BOOL(_kern_lagg_traffic, OID_AUTO, tags, CTLFLAG_RW, &tags_wanted, 0,
    "Ports that are made from now on make send tags, and threads send with them");

static u_int refuse;
SYSCTL_UINT(_kern_lagg_traffic, OID_AUTO, tags_refuse, CTLFLAG_RW, &refuse, 0, "Error number that ports refuse tags with; 0: none");

/* Of all ports. */
static u_int made, freed, modified, arrived, foreign;
SYSCTL_UINT(_kern_lagg_traffic, OID_AUTO, tags_made, CTLFLAG_RD, &made, 0, "Send tags that were made");
SYSCTL_UINT(_kern_lagg_traffic, OID_AUTO, tags_freed, CTLFLAG_RD, &freed, 0, "Send tags that were freed");
SYSCTL_UINT(_kern_lagg_traffic, OID_AUTO, tags_modified, CTLFLAG_RD, &modified, 0, "Send tags that got another rate");
SYSCTL_UINT(_kern_lagg_traffic, OID_AUTO, tags_arrived, CTLFLAG_RD, &arrived, 0, "Packets with a tag of the port that sends them");
SYSCTL_UINT(_kern_lagg_traffic, OID_AUTO, tags_foreign, CTLFLAG_RD, &foreign, 0, "Packets with another tag");

/* Where the last packet with a tag arrived. */
static if_t arrived_at;

static struct m_snd_tag *kept;
static struct socket *paced;
static int error_of_last;
static char about_last[32];

static int
tag_modify(struct m_snd_tag *tag, union if_snd_tag_modify_params *params)
{
	if (params->rate_limit.max_rate == 0)
		return (EINVAL);
	((struct port_tag *)tag)->rate = params->rate_limit.max_rate;
	atomic_add_int(&modified, 1);
	return (0);
}

static int
tag_query(struct m_snd_tag *tag, union if_snd_tag_query_params *params)
{
	params->rate_limit.max_rate = ((struct port_tag *)tag)->rate;
	params->rate_limit.queue_level = IF_SND_QUEUE_LEVEL_MIN;
	return (0);
}

static int
tag_status(struct m_snd_tag *tag, char *text, size_t *size)
{
	if (text != NULL)
		*size = snprintf(text, *size, "%ju", (uintmax_t)((struct port_tag *)tag)->rate) + 1;
	return (0);
}

static void
tag_free(struct m_snd_tag *tag)
{
	free(tag, M_LAGG_TRAFFIC);
	atomic_add_int(&freed, 1);
}

/* Those of unlimited tags as mlx5's: there is nothing to modify. */
static const struct if_snd_tag_sw methods[IF_SND_TAG_TYPE_MAX] = {
	[IF_SND_TAG_TYPE_RATE_LIMIT] = { tag_modify, tag_query, tag_free, NULL, NULL, IF_SND_TAG_TYPE_RATE_LIMIT },
	[IF_SND_TAG_TYPE_UNLIMITED] = { NULL, NULL, tag_free, NULL, NULL, IF_SND_TAG_TYPE_UNLIMITED },
	[IF_SND_TAG_TYPE_TLS] = { NULL, NULL, tag_free, NULL, tag_status, IF_SND_TAG_TYPE_TLS },
	[IF_SND_TAG_TYPE_TLS_RATE_LIMIT] = { tag_modify, tag_query, tag_free, NULL, tag_status, IF_SND_TAG_TYPE_TLS_RATE_LIMIT },
	[IF_SND_TAG_TYPE_TLS_RX] = { NULL, NULL, tag_free, NULL, tag_status, IF_SND_TAG_TYPE_TLS_RX },
};

static int
tag_alloc(if_t ifp, union if_snd_tag_alloc_params *params, struct m_snd_tag **result)
{
	struct port_tag *tag;

	if (refuse != 0)
		return (refuse);
	if (params->hdr.type >= IF_SND_TAG_TYPE_MAX)
		return (EOPNOTSUPP);
	tag = malloc(sizeof(*tag), M_LAGG_TRAFFIC, M_NOWAIT);
	if (tag == NULL)
		return (ENOMEM);
	m_snd_tag_init(&tag->tag, ifp, &methods[params->hdr.type]);
	switch (params->hdr.type) {
	case IF_SND_TAG_TYPE_RATE_LIMIT:
		tag->rate = params->rate_limit.max_rate;
		break;
	case IF_SND_TAG_TYPE_TLS_RATE_LIMIT:
		tag->rate = params->tls_rate_limit.max_rate;
		break;
	default:
		tag->rate = 0;
	}
	*result = &tag->tag;
	atomic_add_int(&made, 1);
	return (0);
}

static void
ratelimit_query(if_t ifp __unused, struct if_ratelimit_query_results *result)
{
	memset(result, 0, sizeof(*result));
	result->flags = RT_IS_UNUSABLE;		/* by TCP */
}

/* A port that is about to be attached is to make tags. */
void
tags_attach(if_t ifp)
{
	if (!tags_wanted)
		return;
	if_setsndtagallocfn(ifp, tag_alloc);
	if_setratelimitqueryfn(ifp, ratelimit_query);
	if_setcapabilitiesbit(ifp, IFCAP_TXRTLMT, 0);
	if_setcapenablebit(ifp, IFCAP_TXRTLMT, 0);
}

/* A port has a packet to send. */
void
tags_arrived(if_t ifp, struct mbuf *m)
{
	struct m_snd_tag *tag = m->m_pkthdr.snd_tag;

	if ((m->m_pkthdr.csum_flags & CSUM_SND_TAG) == 0)
		return;
	if (tag->ifp == ifp && tag->sw->snd_tag_free == tag_free) {
		atomic_add_int(&arrived, 1);
		arrived_at = ifp;
	} else
		atomic_add_int(&foreign, 1);
}

static uint32_t
flow_id(u_int flow)
{
	return (flow * 0x9e3779b9);
}

static int
ask(if_t ifp, u_int type, u_int flow, u_int domain, struct m_snd_tag **tag)
{
	union if_snd_tag_alloc_params params = {
		.hdr = {
			.type = type,
			.flowid = flow_id(flow),
			.flowtype = M_HASHTYPE_OPAQUE_HASH,
			.numa_domain = domain,
		},
	};

	if (type == IF_SND_TAG_TYPE_RATE_LIMIT || type == IF_SND_TAG_TYPE_UNLIMITED)
		params.rate_limit.max_rate = 125000;
	else if (type == IF_SND_TAG_TYPE_TLS_RATE_LIMIT)
		params.tls_rate_limit.max_rate = 125000;
	return (m_snd_tag_alloc(ifp, &params, tag));
}

static void
stamp(struct mbuf *m, u_int flow, struct m_snd_tag *tag)
{
	m->m_pkthdr.flowid = flow_id(flow);
	M_HASHTYPE_SET(m, M_HASHTYPE_OPAQUE_HASH);
	if (tag != NULL) {
		m->m_pkthdr.snd_tag = m_snd_tag_ref(tag);
		m->m_pkthdr.csum_flags |= CSUM_SND_TAG;
	}
}

/* A thread is about to send a packet of a flow: with the flow's tag, if it can have one. */
void
tags_stamp(struct worker *worker, if_t lagg, struct mbuf *m, u_int flow)
{
	struct m_snd_tag **tag = &worker->tags[flow];

	if (!tags_wanted)
		return;
	if (*tag == NULL && ask(lagg, IF_SND_TAG_TYPE_RATE_LIMIT, flow, IF_NODOM, tag) != 0)
		*tag = NULL;
	stamp(m, flow, *tag);
}

/* Lets go of a flow's tag, as its owner does when it is told EAGAIN. */
void
tags_drop(struct worker *worker, u_int flow)
{
	if (worker->tags[flow] == NULL)
		return;
	m_snd_tag_rele(worker->tags[flow]);
	worker->tags[flow] = NULL;
}

void
tags_drop_all(void)
{
	for (u_int w = 0; w < WORKERS; w++)
		for (u_int flow = 0; flow < FLOWS; flow++)
			tags_drop(&workers[w], flow);
}

static void
about(if_t ifp)
{
	strlcpy(about_last, ifp == NULL ? "" : if_name(ifp), sizeof(about_last));
}

static int
command_alloc(u_int type, u_int flow, u_int domain)
{
	struct m_snd_tag *tag;
	if_t ifp;
	int error;

	if (kept != NULL)
		return (EBUSY);
	ifp = ifunit_ref(lagg_name);
	if (ifp == NULL)
		return (ENXIO);
	error = ask(ifp, type, flow, domain, &kept);
	if_rele(ifp);
	if (error != 0) {
		kept = NULL;
		return (error);
	}
	if (kept->sw->type != type)
		return (EDOOFUS);
	for (tag = kept; tag->sw->next_snd_tag != NULL;)
		tag = tag->sw->next_snd_tag(tag);
	about(tag->ifp);
	return (0);
}

static int
command_send(u_int flow)
{
	struct epoch_tracker et;
	struct mbuf *m;
	if_t ifp;
	int error;

	ifp = ifunit_ref(lagg_name);
	if (ifp == NULL)
		return (ENXIO);
	m = packet_new(WRITER, flow);
	if (m == NULL) {
		if_rele(ifp);
		return (ENOBUFS);
	}
	stamp(m, flow, kept);
	NET_EPOCH_ENTER(et);
	error = if_transmit(ifp, m);
	NET_EPOCH_EXIT(et);
	if_rele(ifp);
	about(arrived_at);
	return (error);
}

/* As ktls_modify_txrtlmt, which does not look whether there is such a method. */
static int
command_modify(u_int rate)
{
	union if_snd_tag_modify_params params = { .rate_limit.max_rate = rate };

	return (kept->sw->snd_tag_modify(kept, &params));
}

static int
command_query(void)
{
	union if_snd_tag_query_params params = { };
	int error;

	error = kept->sw->snd_tag_query(kept, &params);
	if (error == 0)
		snprintf(about_last, sizeof(about_last), "%ju", (uintmax_t)params.rate_limit.max_rate);
	return (error);
}

static int
command_status(void)
{
	size_t size = sizeof(about_last);

	return (kept->sw->snd_tag_status_str(kept, about_last, &size));
}

static int
command_rate(u_int rate)
{
	return (so_setsockopt(paced, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate)));
}

static int
command_open(u_int rate)
{
	struct sockaddr_in to = {
		.sin_len = sizeof(to),
		.sin_family = AF_INET,
		.sin_port = htons(9),
		.sin_addr.s_addr = htonl(0xc0000202),
	};
	int error;

	error = socreate(AF_INET, &paced, SOCK_DGRAM, 0, curthread->td_ucred, curthread);
	if (error != 0)
		return (error);
	error = command_rate(rate);
	return (error != 0 ? error : soconnect(paced, (struct sockaddr *)&to, curthread));
}

static int
command_datagram(void)
{
	uint32_t flow_type = M_HASHTYPE_OPAQUE_HASH;	/* without one no tag is asked for */
	struct mbuf *control, *m;
	int error;

	control = sbcreatecontrol(&flow_type, sizeof(flow_type), IP_FLOWTYPE, IPPROTO_IP, M_WAITOK);
	m = m_gethdr(M_WAITOK, MT_DATA);
	m->m_len = m->m_pkthdr.len = 32;
	memset(mtod(m, void *), 0, m->m_len);
	error = sosend(paced, NULL, NULL, m, control, MSG_DONTWAIT, curthread);
	about(arrived_at);
	return (error);
}

static int
command(const char *text)
{
	char word[16];
	u_int first = 0, second = 0, third = IF_NODOM;

	if (sscanf(text, "%15s %u %u %u", word, &first, &second, &third) < 1)
		return (EINVAL);
	if (strcmp(word, "alloc") == 0)
		return (command_alloc(first, second, third));
	if (strcmp(word, "send") == 0)
		return (command_send(first));
	if (strcmp(word, "open") == 0)
		return (paced != NULL ? EBUSY : command_open(first));
	if (paced != NULL) {
		if (strcmp(word, "rate") == 0)
			return (command_rate(first));
		if (strcmp(word, "datagram") == 0)
			return (command_datagram());
		if (strcmp(word, "close") == 0) {
			soclose(paced);
			paced = NULL;
			return (0);
		}
	}
	if (kept == NULL)
		return (EINVAL);
	if (strcmp(word, "modify") == 0)
		return (command_modify(first));
	if (strcmp(word, "query") == 0)
		return (command_query());
	if (strcmp(word, "status") == 0)
		return (command_status());
	if (strcmp(word, "free") == 0) {
		m_snd_tag_rele(kept);
		kept = NULL;
		return (0);
	}
	return (EINVAL);
}

static int
sysctl_tag(SYSCTL_HANDLER_ARGS)
{
	char text[64];
	int error;

	snprintf(text, sizeof(text), "%d %s", error_of_last, about_last);
	error = sysctl_handle_string(oidp, text, sizeof(text), req);
	if (error != 0 || req->newptr == NULL)
		return (error);
	sx_xlock(&traffic_lock);
	CURVNET_SET(vnet0);
	about(NULL);
	arrived_at = NULL;
	/* Not returned: sysctl(9) tries again what is refused with EAGAIN. */
	error_of_last = command(text);
	CURVNET_RESTORE();
	sx_xunlock(&traffic_lock);
	return (0);
}
SYSCTL_PROC(_kern_lagg_traffic, OID_AUTO, tag, CTLTYPE_STRING | CTLFLAG_RW | CTLFLAG_MPSAFE, NULL, 0, sysctl_tag, "A",
    "Write: a command; read: what became of it");

/* The module goes. Who asks the ports for tags has them no more; who has some of theirs keeps it from going. */
int
tags_unload(void)
{
	if (paced != NULL)
		soclose(paced);
	paced = NULL;
	if (kept != NULL)
		m_snd_tag_rele(kept);
	kept = NULL;
	tags_drop_all();
	return (made == freed ? 0 : EBUSY);
}
