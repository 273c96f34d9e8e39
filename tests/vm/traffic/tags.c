/*
 * Send tags: what the ports make of them, in software, and the threads that ask the lagg for them.
 */
#include "traffic.h"

#include <sys/malloc.h>

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
if_t	tags_arrived_at;

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

static __unused int
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

#if __FreeBSD_version < 1500000
#define	STATUS(function)
#else
#define	STATUS(function)	.snd_tag_status_str = function,
#endif

#define	METHODS(kind, modify, query, status)	\
	[kind] = { .snd_tag_modify = modify, .snd_tag_query = query, .snd_tag_free = tag_free, STATUS(status) .type = kind }

/* Those of unlimited tags as mlx5's: there is nothing to modify. */
static const struct if_snd_tag_sw methods[IF_SND_TAG_TYPE_MAX] = {
	METHODS(IF_SND_TAG_TYPE_RATE_LIMIT, tag_modify, tag_query, NULL),
	METHODS(IF_SND_TAG_TYPE_UNLIMITED, NULL, NULL, NULL),
	METHODS(IF_SND_TAG_TYPE_TLS, NULL, NULL, tag_status),
	METHODS(IF_SND_TAG_TYPE_TLS_RATE_LIMIT, tag_modify, tag_query, tag_status),
	METHODS(IF_SND_TAG_TYPE_TLS_RX, NULL, NULL, tag_status),
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

/* Lets a port that is about to be attached make tags. */
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
		tags_arrived_at = ifp;
	} else
		atomic_add_int(&foreign, 1);
}

/* A flow's id, which spreads flows over ports. */
static uint32_t
flow_id(u_int flow)
{
	return (flow * 0x9e3779b9);
}

int
tags_ask(if_t ifp, u_int type, u_int flow, u_int domain, struct m_snd_tag **tag)
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

void
tags_mark(struct mbuf *m, u_int flow, struct m_snd_tag *tag)
{
	m->m_pkthdr.flowid = flow_id(flow);
	M_HASHTYPE_SET(m, M_HASHTYPE_OPAQUE_HASH);
	if (tag != NULL) {
		m->m_pkthdr.snd_tag = m_snd_tag_ref(tag);
		m->m_pkthdr.csum_flags |= CSUM_SND_TAG;
	}
}

/* A thread is about to send a packet of a flow: adds the flow's tag, if there can be one. */
void
tags_stamp(struct worker *worker, if_t lagg, struct mbuf *m, u_int flow)
{
	struct m_snd_tag **tag = &worker->tags[flow];

	if (!tags_wanted)
		return;
	if (*tag == NULL && tags_ask(lagg, IF_SND_TAG_TYPE_RATE_LIMIT, flow, IF_NODOM, tag) != 0)
		*tag = NULL;
	tags_mark(m, flow, *tag);
}

/* Releases a flow's tag, as its owner does on EAGAIN. */
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

/* The module is about to go. Tags that others still hold keep it loaded. */
int
tags_unload(void)
{
	tags_commands_end();
	tags_drop_all();
	return (made == freed ? 0 : EBUSY);
}
