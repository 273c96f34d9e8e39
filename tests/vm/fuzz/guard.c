/*
 * How an operation is done: it is announced, kept apart from those that it must not meet, and judged.
 */
#include "fuzz.h"

#include <sys/time.h>

/* A lock's word says which worker has it, so that it can be taken from one that was killed. */
#define	ALONE(w)	(1u << (16 + ((w) - shared->workers)))
#define	BESIDE(w)	(1u << ((w) - shared->workers))
#define	SOMEONE_ALONE	0xffff0000u

static void
lock(struct worker *w, unsigned which, bool alone)
{
	struct timespec while_ = { 0, 1000000 };
	uint32_t has;

	if ((shared->locks[which] & ALONE(w)) != 0)
		return;
	if (alone)
		__atomic_fetch_or(&shared->waiting[which], BESIDE(w), __ATOMIC_SEQ_CST);
	for (unsigned n = 0; ; n++) {
		has = shared->locks[which];
		if (alone && has == 0 && __sync_bool_compare_and_swap(&shared->locks[which], 0, ALONE(w)))
			break;
		if (!alone && (has & SOMEONE_ALONE) == 0 && shared->waiting[which] == 0 &&
		    __sync_bool_compare_and_swap(&shared->locks[which], has, has | BESIDE(w)))
			break;
		if (n % 16 == 15)
			call(SYS_nanosleep, &while_, NULL);
		else
			call(SYS_sched_yield);
	}
	__atomic_fetch_and(&shared->waiting[which], ~BESIDE(w), __ATOMIC_SEQ_CST);
}

static void
unlock(struct worker *w, unsigned which)
{
	__atomic_fetch_and(&shared->locks[which], ~(ALONE(w) | BESIDE(w)), __ATOMIC_SEQ_CST);
}

/* `leaves`: the interface goes away, or has another name after that. */
void
guard(struct worker *w, const char *name, bool leaves)
{
	bool is_lagg = name[0] == 'l', is_either = name[0] == 'f';

	if (!is_lagg)
		lock(w, CARDS, leaves);
	if (is_lagg || is_either)
		lock(w, LAGGS, leaves);
}

void
guard_all(struct worker *w)
{
	guard(w, "fuzz", true);
}

/* IPv6 addresses are new, or are removed because their interface joins another one. */
void
guard_addresses(struct worker *w, bool new)
{
	lock(w, ADDRESSES, new);
}

/* A port comes up when it joins, or the driver of a card detaches. */
void
guard_joins(struct worker *w, bool detaches)
{
	lock(w, JOINS, detaches);
}

void
unguard(struct worker *w)
{
	unlock(w, CARDS);
	unlock(w, LAGGS);
	unlock(w, ADDRESSES);
	unlock(w, JOINS);
}

void
unguard_of_dead(struct worker *w)
{
	for (unsigned n = 0; n < LOCKS; n++) {
		__atomic_fetch_and(&shared->waiting[n], ~BESIDE(w), __ATOMIC_SEQ_CST);
		unlock(w, n);
	}
}

/* The line goes first, so that it is the console's last if this is the end. */
void
announce(struct worker *w)
{
	w->line[w->length] = '\n';
	lock(w, CONSOLE, true);
	call(SYS_write, 1, w->line, w->length + 1);
	unlock(w, CONSOLE);
	w->line[w->length] = '\0';
}

/* There may be no such interface or address, or it may be one to which the request means nothing. */
static bool
is_absent(struct worker *w, long result)
{
	return (result == -ENXIO || result == -EADDRNOTAVAIL || (result == -EINVAL && w->renamed));
}

/* Nobody may set anything. */
long
judge(struct worker *w, long result)
{
	char text[260];

	if (w->nobody && w->sets && result != -EPERM && !is_absent(w, result)) {
		w->wrong++;
		copy(copy_number(copy(copy(copy(text, "WRONG: "), w->line), result < 0 ? " errno " : " "),
		    result < 0 ? -result : result), "\n");
		print(2, text);
	}
	return (result);
}

static bool
is_laggs(unsigned long command)
{
	unsigned number = command & 0xff;

	return ((number >= 140 && number <= 146) || number == 152 || number == 153);
}

long
submit(struct worker *w, int socket, unsigned long command, void *argument)
{
	bool leaves = command == SIOCIFDESTROY || command == SIOCSIFNAME || command == SIOCSIFVNET || command == SIOCSIFRVNET;

	if (!is_laggs(command))
		guard(w, argument, leaves);
	announce(w);
	return (judge(w, call(SYS_ioctl, w->sockets[socket], command, argument)));
}
