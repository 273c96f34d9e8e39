/*
 * lagg_fuzz SEED SECONDS MODULE [OPERATION...]: workers, each a process, that throw operations at a few laggs, epairs,
 * VLANs, taps, bridges and cards, here and in two jails with network stacks of their own, while others send packets.
 *
 * SEED names the operations: each is drawn from the seed, its worker and its number alone, never from what an earlier
 * one came to. Each is printed before it is done: "WORKER NUMBER WORDS". How workers overlap is up to the scheduler.
 * MODULE is the path of lagg's. If it is "none", taps stand where the laggs would. The OPERATIONs are left out.
 *
 * Counts go to the standard error: "did OPERATION n refused n". Exit status: 0; 1 a user without privileges got
 * through, or got an error other than EPERM; 99 a worker is stuck.
 */
#ifndef FUZZ_H
#define	FUZZ_H

#include "../program.h"

#include <sys/errno.h>
#include <sys/fcntl.h>
#include <sys/socket.h>
#include <sys/sockio.h>
#include <net/if.h>

/* A worker's sockets. */
enum { LOCAL, INET, INET6, NETLINK, SOCKETS };

/*
 * What FreeBSD's stack does not survive even without laggs is kept apart by locks (guard.c): requests to an interface
 * that is meanwhile destroyed, moved or renamed, or whose driver detaches, and new IPv6 addresses of one that joins. Others
 * of lagg's own requests, and packets that the stack sends, take none.
 */
enum { CARDS, LAGGS, ADDRESSES, JOINS, CONSOLE, LOCKS };

#define	WORKERS		11

/* Shared by all, and written by its process. */
struct worker {
	const char	*name;
	const char	*jail;		/* NULL: none */
	bool		nobody;
	bool		sends;		/* packets, and does no operations */
	int		pid;
	int		sockets[SOCKETS];
	uint64_t	random;		/* the generator's state */
	unsigned	number;		/* of the operation that is under way */
	bool		sets;		/* it is one that nobody may do */
	bool		renamed;	/* it is about an interface that may be of any kind */
	unsigned	length;
	char		line[200];	/* its words */
	unsigned	wrong;		/* how often nobody got what is not his */
	unsigned	done[64], failed[64];	/* operations, by kind */
};

struct shared {
	volatile bool	stop;
	volatile uint32_t locks[LOCKS];
	volatile uint32_t waiting[LOCKS];
	struct worker	workers[WORKERS];
};
extern struct shared *shared;
extern const char *module;
extern bool without_laggs;
extern bool duplicates;		/* IPv6's duplicate detection is on, as the seed says */
extern uint64_t seed;

/* choose.c */
uint64_t mix(uint64_t);
unsigned pick(struct worker *, unsigned count);
bool	chance(struct worker *, unsigned one_in);
void	say(struct worker *, const char *word);
unsigned say_number(struct worker *, unsigned long n);
#define	say_one(w, ...) \
	say_one_of((w), sizeof((const unsigned[]){ __VA_ARGS__ }) / sizeof(unsigned), (const unsigned[]){ __VA_ARGS__ })
unsigned say_one_of(struct worker *, unsigned count, const unsigned *choices);
void	lagg(struct worker *, char *name);
void	port(struct worker *, char *name);
void	vlan(struct worker *, char *name);
void	bridge(struct worker *, char *name);
void	any(struct worker *, char *name);
void	parent(struct worker *, const char *of, char *name);
bool	is_vlan(const char *name);
bool	is_card(const char *name);
bool	stays(const char *name);
bool	moves(const char *name);
unsigned index_of(struct worker *, const char *name);
void	unconfigure(struct worker *, const char *name);

/* guard.c. What an operation has locked is unlocked when it returns. */
void	guard(struct worker *, const char *name, bool leaves);
void	guard_all(struct worker *);
void	guard_addresses(struct worker *, bool new);
void	guard_joins(struct worker *, bool detaches);
void	unguard(struct worker *);
void	unguard_of_dead(struct worker *);
void	announce(struct worker *);
long	judge(struct worker *, long result);
/* An ioctl. The argument begins with the interface's name. */
long	submit(struct worker *, int socket, unsigned long command, void *argument);

/* An operation draws its arguments, says them, and does it. It returns what the kernel has, or that it was not done. */
#define	LEFT_OUT	1000000
struct operation {
	const char	*name;
	unsigned	weight;
	long		(*run)(struct worker *);
};
extern const struct operation operations[];
extern const unsigned operations_count;

long	lagg_join(struct worker *);
long	lagg_leave(struct worker *);
long	lagg_protocol(struct worker *);
long	lagg_option(struct worker *);
long	lagg_hash(struct worker *);
long	lagg_get(struct worker *);
long	lagg_garbage(struct worker *);
long	lagg_statistics(struct worker *);
long	lagg_setting(struct worker *);

long	netlink_create(struct worker *);
long	netlink_modify(struct worker *);
long	netlink_delete(struct worker *);
long	netlink_get(struct worker *);

/* jails.c */
#define	JAILS		3	/* fuzz0 and fuzz1, where workers are, and fuzz2 */
long	jail_id(const char *name);
long	jail_make(const char *name);
long	jails_create(struct worker *);
long	jails_remove(struct worker *);
long	vnet_there(struct worker *);
long	vnet_back(struct worker *);

/* devices.c */
long	device_detach(struct worker *);
long	device_attach(struct worker *);
long	module_unload(struct worker *);

/* traffic.c */
void	traffic(struct worker *);

#endif
