/*
 * Jails with a network stack of their own, and interfaces that move between them.
 */
#include "fuzz.h"

#include <sys/param.h>
#include <sys/jail.h>
#include <sys/uio.h>

static struct iovec
text(const char *t)
{
	return ((struct iovec){ (void *)(uintptr_t)t, length_of(t) + 1 });
}

long
jail_id(const char *name)
{
	char back[32];		/* The kernel writes it, too. */
	struct iovec parameters[] = { text("name"), { back, length_of(name) + 1 } };

	copy(back, name);
	return (call(SYS_jail_get, parameters, 2, 0));
}

long
jail_make(const char *name)
{
	int new = JAIL_SYS_NEW;
	struct iovec parameters[] = {
		text("name"), text(name), text("path"), text("/"), text("persist"), { NULL, 0 },
		text("vnet"), { &new, sizeof(new) },
	};

	return (call(SYS_jail_set, parameters, 8, JAIL_CREATE));
}

static const char *
one(struct worker *w)
{
	static const char *const names[JAILS] = { "fuzz0", "fuzz1", "fuzz2" };
	const char *name = names[pick(w, JAILS)];

	say(w, name);
	return (name);
}

long
jails_create(struct worker *w)
{
	const char *name = one(w);

	announce(w);
	return (judge(w, jail_make(name)));
}

/* With all of its processes and its network stack, which timers of IPv6's duplicate detection do not survive. */
long
jails_remove(struct worker *w)
{
	const char *name = one(w);
	long id;

	if (duplicates)
		return (LEFT_OUT);
	guard_all(w);
	announce(w);
	id = jail_id(name);
	return (id < 0 ? id : judge(w, call(SYS_jail_remove, id)));
}

static long
move(struct worker *w, unsigned long command)
{
	struct ifreq request = {};
	long id;

	any(w, request.ifr_name);
	id = jail_id(one(w));
	if (id < 0 || !moves(request.ifr_name))
		return (LEFT_OUT);
	request.ifr_jid = id;
	return (submit(w, LOCAL, command, &request));
}

long
vnet_there(struct worker *w)
{
	return (move(w, SIOCSIFVNET));
}

long
vnet_back(struct worker *w)
{
	return (move(w, SIOCSIFRVNET));
}
