/*
 * Commands for send tags. Write one to the sysctl tag; read it to see what became of the last one: its error number, and
 * the interface that it is about, if any.
 *
 * alloc TYPE FLOW [DOMAIN]  makes and keeps a tag of that type (IF_SND_TAG_TYPE_*); shows the interface that made it
 * send FLOW        sends a packet with the kept tag; shows the port at which it arrived
 * modify RATE, query, status  methods of the kept tag; query shows the rate
 * free             releases the kept tag
 * open RATE        opens a UDP socket to 192.0.2.2 paced to RATE bytes a second: the kernel's own user of tags
 * rate RATE        changes its pace
 * datagram         sends one; shows the port at which it arrived, if it had a tag
 * close            closes it
 */
#include "traffic.h"

#include <sys/socketvar.h>

static struct m_snd_tag *kept;
static struct socket *paced;
static int error_of_last;
static char about_last[32];

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
	error = tags_ask(ifp, type, flow, domain, &kept);
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
	tags_mark(m, flow, kept);
	NET_EPOCH_ENTER(et);
	error = if_transmit(ifp, m);
	NET_EPOCH_EXIT(et);
	if_rele(ifp);
	about(tags_arrived_at);
	return (error);
}

/* Like ktls_modify_txrtlmt, which does not check that the method exists. */
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
#if __FreeBSD_version < 1500000
	/* There is no such method. */
	return (EOPNOTSUPP);
#else
	size_t size = sizeof(about_last);

	return (kept->sw->snd_tag_status_str(kept, about_last, &size));
#endif
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
	about(tags_arrived_at);
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
	tags_arrived_at = NULL;
	/* Not returned: sysctl(9) tries again what is refused with EAGAIN. */
	error_of_last = command(text);
	CURVNET_RESTORE();
	sx_xunlock(&traffic_lock);
	return (0);
}
SYSCTL_PROC(_kern_lagg_traffic, OID_AUTO, tag, CTLTYPE_STRING | CTLFLAG_RW | CTLFLAG_MPSAFE, NULL, 0, sysctl_tag, "A",
    "Write: a command; read: what became of it");

/* Closes the socket and releases the kept tag. */
void
tags_commands_end(void)
{
	if (paced != NULL)
		soclose(paced);
	paced = NULL;
	if (kept != NULL)
		m_snd_tag_rele(kept);
	kept = NULL;
}
