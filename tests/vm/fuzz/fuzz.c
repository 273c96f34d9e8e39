/*
 * The workers, and what they have in common.
 */
#include "fuzz.h"

#include <sys/mman.h>
#include <sys/signal.h>
#include <sys/time.h>
#include <sys/wait.h>

#define	STUCK		120	/* seconds that an operation may take, on a slow machine */
#define	NOBODY		65534

const char *module;
bool without_laggs;
bool duplicates;
uint64_t seed;
static char **left_out;

struct shared *shared;

static const struct worker model[WORKERS] = {
	{ .name = "root0" }, { .name = "root1" }, { .name = "root2" },
	{ .name = "inside0", .jail = "fuzz0" }, { .name = "inside1", .jail = "fuzz1" }, { .name = "inside2", .jail = "fuzz0" },
	{ .name = "nobody0", .nobody = true }, { .name = "nobody1", .nobody = true, .jail = "fuzz0" },
	{ .name = "traffic0", .sends = true }, { .name = "traffic1", .sends = true, .jail = "fuzz0" },
	{ .name = "traffic2", .sends = true, .jail = "fuzz1" },
};

static unsigned long
seconds(void)
{
	struct timespec now = {};

	call(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	return (now.tv_sec);
}

static void
sleep_for(unsigned milliseconds)
{
	struct timespec time = { milliseconds / 1000, milliseconds % 1000 * 1000000 };

	call(SYS_nanosleep, &time, NULL);
}

static bool
is_left_out(unsigned which)
{
	for (char **name = left_out; *name != NULL; name++)
		if (is_same(*name, operations[which].name))
			return (true);
	return (false);
}

static void
operate(struct worker *w)
{
	unsigned sum = 0, at, which = 0;
	long result;

	w->random = mix(mix(seed) + ((uint64_t)(w - shared->workers) << 32) + w->number);
	for (unsigned n = 0; n < operations_count; n++)
		sum += operations[n].weight;
	for (at = pick(w, sum); at >= operations[which].weight; which++)
		at -= operations[which].weight;
	w->length = copy(w->line, w->name) - w->line;
	say_number(w, w->number);
	say(w, operations[which].name);
	w->sets = true;
	w->renamed = false;
	if (is_left_out(which))
		return;
	result = operations[which].run(w);
	if (result < 0)
		w->failed[which]++;
	else if (result != LEFT_OUT)
		w->done[which]++;
	unguard(w);
}

/* What a network stack has all its life: see stays. */
static void
furnish(void)
{
	static const char *const ipv6[] = { "net.inet6.ip6.dad_count", "net.inet6.ip6.auto_linklocal" };
	long s = call(SYS_socket, AF_LOCAL, SOCK_DGRAM, 0);
	int values[] = { duplicates, 0 };

	for (unsigned n = 0; n < 2; n++)
		call(SYS___sysctlbyname, ipv6[n], length_of(ipv6[n]), NULL, NULL, &values[n], sizeof(values[n]));
	for (unsigned n = 0; n < 2; n++) {
		struct ifreq request = {};

		copy_number(copy(request.ifr_name, "bridge"), n);
		call(SYS_ioctl, s, SIOCIFCREATE2, &request);
	}
	call(SYS_close, s);
}

/* Where it is meant to be; exits if that is not there. */
static void
settle(struct worker *w)
{
	static const int domains[SOCKETS] = { AF_LOCAL, AF_INET, AF_INET6, AF_NETLINK };
	struct timeval patience = { 2, 0 };
	int on = 1;

	if (w->jail != NULL && call(SYS_jail_attach, jail_id(w->jail)) < 0)
		call(SYS_exit, 1);
	furnish();
	/* Before there are sockets: netlink(4) goes by who opened one. */
	if (w->nobody)
		call(SYS_setuid, NOBODY);
	for (unsigned n = 0; n < SOCKETS; n++)
		w->sockets[n] = call(SYS_socket, domains[n], n == NETLINK ? SOCK_RAW : SOCK_DGRAM, 0);
	call(SYS_setsockopt, w->sockets[NETLINK], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	call(SYS_setsockopt, w->sockets[INET], SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
}

static void
work(struct worker *w)
{
	settle(w);
	while (!shared->stop) {
		w->number++;
		if (w->sends)
			traffic(w);
		else
			operate(w);
	}
	call(SYS_exit, 0);
}

static void
start(struct worker *w)
{
	int pid;

	if (w->jail != NULL && jail_id(w->jail) < 0)
		jail_make(w->jail);
	pid = call(SYS_fork);
	if (pid == 0)
		work(w);
	w->pid = pid;
}

/* Whether all have ended. Those that ended with their jail go on, with the operation after that. */
static bool
look_after(void)
{
	bool ended = true;
	int status;

	for (struct worker *w = shared->workers; w < shared->workers + WORKERS; w++) {
		if (w->pid > 0 && call(SYS_wait4, w->pid, &status, WNOHANG, NULL) == w->pid) {
			w->pid = 0;
			unguard_of_dead(w);
		}
		if (w->pid <= 0 && !shared->stop)
			start(w);
		ended &= w->pid <= 0;
	}
	return (ended);
}

/* Exits with 99 if one does not go on. */
static void
watch(void)
{
	static unsigned numbers[WORKERS];
	static unsigned long since[WORKERS];
	unsigned long now = seconds();

	for (unsigned n = 0; n < WORKERS; n++) {
		struct worker *w = &shared->workers[n];

		if (w->pid <= 0 || w->number != numbers[n] || since[n] == 0) {
			numbers[n] = w->number;
			since[n] = now;
		} else if (now - since[n] > STUCK) {
			print(2, "STUCK: ");
			print(2, w->line);
			print(2, "\n");
			call(SYS_exit, 99);
		}
	}
}

/* "KIND DONE FAILED", of all workers. Returns how often nobody got what is not his. */
static unsigned
report(void)
{
	unsigned wrong = 0, done, failed;
	char text[80];

	for (unsigned kind = 0; kind < operations_count; kind++) {
		done = failed = 0;
		for (unsigned n = 0; n < WORKERS; n++) {
			done += shared->workers[n].done[kind];
			failed += shared->workers[n].failed[kind];
		}
		copy(copy_number(copy(copy_number(copy(copy(copy(text, "did "), operations[kind].name), " "), done), " refused "),
		    failed), "\n");
		print(2, text);
	}
	for (unsigned n = 0; n < WORKERS; n++)
		wrong += shared->workers[n].wrong;
	return (wrong);
}

void
_start(long *stack)
{
	char **arguments = (char **)(stack + 1);
	unsigned long end;

	if (stack[0] < 4)
		call(SYS_exit, 2);
	seed = number_of(arguments[1]);
	module = arguments[3];
	without_laggs = is_same(module, "none");
	duplicates = mix(seed) % 2;
	left_out = &arguments[4];
	shared = (void *)call(SYS_mmap, NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_ANON | MAP_SHARED, -1, 0);
	memcpy(shared->workers, model, sizeof(model));
	end = seconds() + number_of(arguments[2]);
	while (!look_after() || !shared->stop) {
		watch();
		sleep_for(50);
		shared->stop = seconds() >= end;
	}
	/* Its timers do not survive the end of a jail, which the next seed may have. */
	if (duplicates)
		sleep_for(3000);
	print(2, duplicates ? "with duplicate detection\n" : "without duplicate detection\n");
	call(SYS_exit, report() != 0);
}
