/*
 * The other end of every port, as far as it speaks LACP (802.1AX): one system that aggregates all of them, and is always
 * ready to collect and distribute. It answers each PDU as soon as it comes, and has no timers.
 */
#include "traffic.h"

#define	SLOW_LACP	1
#define	SLOW_MARKER	2
#define	MARKER_INFORMATION	1
#define	MARKER_RESPONSE		2

struct participant {
	uint16_t	system_priority;
	uint8_t		system[ETHER_ADDR_LEN];
	uint16_t	key;
	uint16_t	port_priority;
	uint16_t	port;
	uint8_t		state;
	uint8_t		reserved[3];
} __packed;

/* 802.1AX 6.4.2.3, 6.5.3.3: their beginnings */
struct pdu {
	struct ether_header ether;
	uint8_t		subtype;
	uint8_t		version;
	uint8_t		type;		/* that of the first TLV */
	uint8_t		length;
	struct participant actor;
	uint8_t		partner_type;
	uint8_t		partner_length;
	struct participant partner;
} __packed;

/* Activity, Aggregation, Synchronization, Collecting, Distributing */
#define	STATE	(0x01 | 0x04 | 0x08 | 0x10 | 0x20)

/* All that ports have sent beside the packets of the threads. */
static u_int lacpdus, markers, others;
SYSCTL_UINT(_kern_lagg_traffic, OID_AUTO, lacpdus, CTLFLAG_RD, &lacpdus, 0, "LACPDUs that ports have sent");
SYSCTL_UINT(_kern_lagg_traffic, OID_AUTO, markers, CTLFLAG_RD, &markers, 0, "Markers that ports have sent, and answers to such");
SYSCTL_UINT(_kern_lagg_traffic, OID_AUTO, others, CTLFLAG_RD, &others, 0, "Other frames that ports have sent");

static void
count(struct mbuf *m)
{
	struct pdu *pdu = mtod(m, struct pdu *);

	if (m->m_len < (int)sizeof(*pdu) || pdu->ether.ether_type != htons(ETHERTYPE_SLOW))
		atomic_add_int(&others, 1);
	else
		atomic_add_int(pdu->subtype == SLOW_LACP ? &lacpdus : &markers, 1);
}

/* Takes what the port has sent; the answer comes later, for the lagg may hold its locks now. */
void
partner_take(struct port *port, struct mbuf *m)
{
	const uint8_t system[ETHER_ADDR_LEN] = { 0x02, 'l', 'g', 't', 2, 0 };
	struct pdu *pdu = mtod(m, struct pdu *);

	count(m);
	if (m->m_len < (int)sizeof(*pdu) || pdu->ether.ether_type != htons(ETHERTYPE_SLOW))
		goto out;
	m = m_unshare(m, M_NOWAIT);
	if (m == NULL)
		return;
	pdu = mtod(m, struct pdu *);
	memcpy(pdu->ether.ether_shost, system, sizeof(system));
	if (pdu->subtype == SLOW_LACP) {
		pdu->partner = pdu->actor;
		pdu->actor.system_priority = htons(0x8000);
		memcpy(pdu->actor.system, system, sizeof(system));
		pdu->actor.key = htons(1);
		pdu->actor.state = STATE;
	} else if (pdu->subtype == SLOW_MARKER && pdu->type == MARKER_INFORMATION)
		pdu->type = MARKER_RESPONSE;
	else
		goto out;
	/* One that has not been fetched yet is out of date, or a marker that got lost. */
	m = (struct mbuf *)atomic_swap_ptr((uintptr_t *)&port->answer, (uintptr_t)m);
	taskqueue_enqueue(taskqueue_thread, &port->partner);
out:
	m_freem(m);
}

static void
partner_answer(void *context, int pending __unused)
{
	struct port *port = context;
	struct mbuf *m = (struct mbuf *)atomic_swap_ptr((uintptr_t *)&port->answer, 0);

	if (m == NULL)
		return;
	m->m_pkthdr.rcvif = port->ifp;
	m->m_flags &= ~(M_BCAST | M_MCAST);
	workers[WRITER].counter[ANSWERS]++;
	if_input(port->ifp, m);
}

void
partner_attach(struct port *port)
{
	NET_TASK_INIT(&port->partner, 0, partner_answer, port);
}

/* No thread sends on the port any more. */
void
partner_detach(struct port *port)
{
	taskqueue_drain(taskqueue_thread, &port->partner);
	m_freem(port->answer);
	port->answer = NULL;
}
