/*
 * Cards whose driver detaches and attaches again, as by devctl(8), and lagg's module.
 */
#include "fuzz.h"

#include <sys/param.h>
#include <sys/ioccom.h>
#include <sys/linker.h>

/* The cards, by where they are: a card without a driver has no name. The runner puts them there (qemu.py). */
#define	FIRST_SLOT	26

/* devctl(4)'s. Its header is the kernel's alone. */
struct device_request {
	char	name[128];
	int	flags;
	struct {
		void	*buffer;
		size_t	length;
	} rest;
};

#define	ATTACH	_IOW('D', 1, struct device_request)
#define	DETACH	_IOW('D', 2, struct device_request)

static long
device(struct worker *w, unsigned unit, unsigned long command)
{
	struct device_request request = {};
	long fd, result;

	copy(copy_number(copy(request.name, "pci0:0:"), FIRST_SLOT + unit), ":0");
	say(w, request.name);
	fd = call(SYS_open, "/dev/devctl2", O_RDONLY, 0);
	if (fd < 0)
		return (fd);
	announce(w);
	result = judge(w, call(SYS_ioctl, fd, command, &request));
	call(SYS_close, fd);
	return (result);
}

static void
take_down(struct worker *w, const char *name)
{
	struct ifreq request = {};

	copy(request.ifr_name, name);
	if (call(SYS_ioctl, w->sockets[LOCAL], SIOCGIFFLAGS, &request) < 0)
		return;
	request.ifr_flags &= ~IFF_UP;
	call(SYS_ioctl, w->sockets[LOCAL], SIOCSIFFLAGS, &request);
}

/*
 * What is up may start again while its driver detaches, which vtnet(4) does not survive: see docs/proof.md. A card does not
 * keep its number.
 */
long
device_detach(struct worker *w)
{
	if (!w->nobody && w->jail == NULL) {
		guard_all(w);
		guard_joins(w, true);
		take_down(w, "vtnet0");
		take_down(w, "vtnet1");
	}
	return (device(w, pick(w, 2), DETACH));
}

long
device_attach(struct worker *w)
{
	return (device(w, pick(w, 2), ATTACH));
}

/* All that may be one, in a jail or here. A process that has entered a jail does not come back. */
static void
destroy_laggs(const char *jail)
{
	static const char *const kinds[] = { "lagg", "fuzz" };
	long pid = call(SYS_fork), s;

	if (pid != 0) {
		call(SYS_wait4, pid, NULL, 0, NULL);
		return;
	}
	if (jail != NULL && call(SYS_jail_attach, jail_id(jail)) < 0)
		call(SYS_exit, 1);
	s = call(SYS_socket, AF_LOCAL, SOCK_DGRAM, 0);
	for (unsigned n = 0; n < 6; n++) {
		struct ifreq request = {};

		copy_number(copy(request.ifr_name, kinds[n / 3]), n % 3);
		call(SYS_ioctl, s, SIOCIFDESTROY, &request);
	}
	call(SYS_exit, 0);
}

/* It is refused while there is a lagg, so there are none half of the time. The module is loaded again. */
long
module_unload(struct worker *w)
{
	static const char *const places[] = { NULL, "fuzz0", "fuzz1", "fuzz2" };
	long id, result;
	bool empty = chance(w, 2);

	if (without_laggs)
		return (LEFT_OUT);
	say(w, empty ? "without laggs" : "as it is");
	/* A thread that is about to make one may be in the window of docs/proof.md. */
	if (w->jail == NULL && !w->nobody)
		guard_all(w);
	announce(w);
	if (empty && w->jail == NULL && !w->nobody)
		for (unsigned n = 0; n <= JAILS; n++)
			destroy_laggs(places[n]);
	id = call(SYS_kldfind, module);
	result = id < 0 ? id : judge(w, call(SYS_kldunloadf, id, LINKER_UNLOAD_NORMAL));
	if (result >= 0)
		call(SYS_kldload, module);
	return (result);
}
