/*
 * lagg_traffic.ko: Ethernet ports that lead nowhere but to an LACP partner, and kernel threads that send packets through a
 * lagg and hand it packets as received, at the rate that the machine has, each of them accounted for. Sysctls, all of
 * kern.lagg_traffic:
 *
 * ports     how many ports there are, lgt0 and up (0)
 * cut       a bit for each port whose link is down (0)
 * lagg      the interface that packets are sent to ("lagg0"); it may come and go
 * threads   how many threads send, and as many receive (2)
 * run       1: counters to zero, and go; 0: stop
 * counters  what became of the packets, a line each: traffic.c has the list
 * lacpdus, markers, others  what the ports have sent beside, since the module was loaded: partner.c
 * tags, tags_*  send tags: tags.c
 * tag       commands for send tags: tags_commands.c
 * transmit, input  write a number of packets: as many go, from the writer's thread; read: the CPU's ticks that they took
 */
#ifndef LAGG_TRAFFIC_H
#define	LAGG_TRAFFIC_H

#include <sys/param.h>
#include <sys/systm.h>
#include <sys/epoch.h>
#include <sys/errno.h>
#include <sys/kernel.h>
#include <sys/lock.h>
#include <sys/mbuf.h>
#include <sys/module.h>
#include <sys/proc.h>
#include <sys/sbuf.h>
#include <sys/socket.h>
#include <sys/sockio.h>
#include <sys/sx.h>
#include <sys/sysctl.h>
#include <sys/taskqueue.h>

#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_media.h>
#include <net/if_types.h>
#include <net/if_var.h>
#include <net/pfil.h>
#include <net/vnet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>

#define	PORTS_MAX	32
#define	THREADS_MAX	8		/* each way */
#define	FLOWS		256
#define	BURST		64		/* packets to a section of the epoch */

/* 60 bytes, the least that Ethernet has. */
struct packet {
	struct ether_header ether;
	struct ip	ip;
	struct udphdr	udp;
	uint8_t		worker;		/* whose it is: its place in workers[] */
	uint8_t		flow;
	uint8_t		padding[16];
} __packed;

enum {
	OFFERED, SENT, COPIES, LOST, PARTIAL, INJECTED, AS_LAGG, AS_PORT, REFUSED, DOWN, NO_MEMORY, ANSWERS,
	COUNTERS
};

/*
 * A sender of packets. They arrive in the thread that sent them, before its call returns: nothing here is shared.
 */
struct worker {
	u_int		arrived;	/* how often the packet under way has */
	u_int		as_lagg;	/* of received ones: as the lagg's */
	u_int		next;		/* numbers its packets */
	int		resumed;	/* since when its thread has been running, in ticks */
	struct m_snd_tag *tags[FLOWS];
	uint64_t	counter[COUNTERS];
	uint64_t	failed[ELAST + 1];
} __aligned(CACHE_LINE_SIZE);

/* The last one's are the packets of the sysctls transmit and input, and the partner's answers. */
#define	WORKERS		(2 * THREADS_MAX + 1)
#define	WRITER		(WORKERS - 1)
extern struct worker workers[WORKERS];

extern struct sx traffic_lock;		/* owns all but workers[] and what their threads read */
extern bool	running;
extern u_int	ports_count;		/* does not change while running */
extern char	lagg_name[IFNAMSIZ];

struct port {
	if_t		ifp;
	struct ifmedia	media;
	u_int		flag_changes;	/* counted a little after they are made */
	struct task	partner;	/* delivers this: */
	struct mbuf	*answer;
};

/* bench.c: the packet that the ports are to leave alone; NULL: none is sent just now */
extern struct mbuf *bench_packet;

/* port.c */
struct port *port_number(u_int);
bool	port_is(if_t);
int	ports_set(u_int);

/* partner.c */
void	partner_attach(struct port *);
void	partner_take(struct port *, struct mbuf *);
void	partner_detach(struct port *);

/* traffic.c */
struct mbuf *packet_new(u_int worker, u_int flow);
struct packet *packet_of(struct mbuf *);	/* NULL: not one of ours */
void	traffic_stop(void);

/* tags.c */
extern if_t tags_arrived_at;
int	tags_ask(if_t, u_int type, u_int flow, u_int domain, struct m_snd_tag **);
void	tags_mark(struct mbuf *, u_int flow, struct m_snd_tag *);
void	tags_attach(if_t);
void	tags_arrived(if_t, struct mbuf *);
void	tags_stamp(struct worker *, if_t, struct mbuf *, u_int flow);
void	tags_drop(struct worker *, u_int flow);
void	tags_drop_all(void);
int	tags_unload(void);

/* tags_commands.c */
void	tags_commands_end(void);

SYSCTL_DECL(_kern_lagg_traffic);

#endif
