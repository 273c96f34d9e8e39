/*
 * lagg_control WHAT LAGG N [PREFIX]: makes N requests, one after the other, and prints how many microseconds all of them took:
 *
 *	join, leave	the interfaces PREFIX0 and up
 *	new		makes the interfaces vlan1 and up, with no parent
 *	vlan		gives them LAGG for a parent
 *	group		joins multicast groups on LAGG
 *	ungroup		leaves them
 *	rename		makes the lagg lagg1, gives it two other names, and destroys it
 *
 * What a lagg puts off is waited for: the last request, an MTU that it has, is done after that.
 */
#include "../program.h"

#include <sys/socket.h>
#include <sys/sockio.h>
#include <sys/time.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_dl.h>
#include <net/if_vlan_var.h>

#define	JOIN	0x8048698dul
#define	LEAVE	0x8048698eul

/* What JOIN and LEAVE carry. */
struct port {
	char	lagg[IFNAMSIZ];
	char	port[IFNAMSIZ];
	char	rest[40];
};

static void
print_number(int fd, unsigned long n, const char *after)
{
	char text[80];

	copy(copy_number(text, n), after);
	print(fd, text);
}

static long
want(long result)
{
	if (result >= 0)
		return (result);
	print_number(2, -result, " is what a call has failed with\n");
	call(SYS_exit, 1);
	__builtin_unreachable();
}

static void
request(long s, char what, const char *lagg, unsigned n, const char *prefix)
{
	struct port port = {};
	struct ifreq ifr = {};
	struct vlanreq vlan = {};
	struct sockaddr_dl *group = (void *)&ifr.ifr_addr;

	switch (what) {
	case 'j':
	case 'l':
		copy(port.lagg, lagg);
		copy_number(copy(port.port, prefix), n);
		want(call(SYS_ioctl, s, what == 'j' ? JOIN : LEAVE, &port));
		break;
	case 'v':
		copy_number(copy(ifr.ifr_name, "vlan"), n + 1);
		copy(vlan.vlr_parent, lagg);
		vlan.vlr_tag = n + 1;
		vlan.vlr_proto = ETHERTYPE_VLAN;
		ifr.ifr_data = (void *)&vlan;
		want(call(SYS_ioctl, s, SIOCSETVLAN, &ifr));
		break;
	case 'n':
		copy_number(copy(ifr.ifr_name, "vlan"), n + 1);
		want(call(SYS_ioctl, s, SIOCIFCREATE, &ifr));
		break;
	case 'g':
	case 'u':
		copy(ifr.ifr_name, lagg);
		/* Not the length of an IPv4 address: the kernel would take 224.0.0.1 for it. */
		group->sdl_len = sizeof(ifr.ifr_addr) - 2;
		group->sdl_family = AF_LINK;
		group->sdl_alen = ETHER_ADDR_LEN;
		group->sdl_data[0] = 1;
		group->sdl_data[4] = n >> 8;
		group->sdl_data[5] = n;
		want(call(SYS_ioctl, s, what == 'g' ? SIOCADDMULTI : SIOCDELMULTI, &ifr));
		break;
	case 'r':
		copy(ifr.ifr_name, "lagg1");
		want(call(SYS_ioctl, s, SIOCIFCREATE, &ifr));
		ifr.ifr_data = (void *)(uintptr_t)"a";
		want(call(SYS_ioctl, s, SIOCSIFNAME, &ifr));
		copy(ifr.ifr_name, "a");
		ifr.ifr_data = (void *)(uintptr_t)"b";
		want(call(SYS_ioctl, s, SIOCSIFNAME, &ifr));
		copy(ifr.ifr_name, "b");
		want(call(SYS_ioctl, s, SIOCIFDESTROY, &ifr));
		break;
	}
}

static unsigned long
now(void)
{
	struct timespec ts;

	want(call(SYS_clock_gettime, CLOCK_MONOTONIC, &ts));
	return (ts.tv_sec * 1000000ul + ts.tv_nsec / 1000);
}

void
_start(long *stack)
{
	char **arguments = (char **)(stack + 1);
	const char *lagg = arguments[2];
	unsigned count;
	struct ifreq ifr = {};
	long s;
	unsigned long start;

	if (stack[0] < 4)
		want(-22);
	count = number_of(arguments[3]);
	s = want(call(SYS_socket, AF_LOCAL, SOCK_DGRAM, 0));
	copy(ifr.ifr_name, lagg);
	want(call(SYS_ioctl, s, SIOCGIFMTU, &ifr));
	start = now();
	for (unsigned n = 0; n < count; n++)
		request(s, arguments[1][0], lagg, n, arguments[4]);
	want(call(SYS_ioctl, s, SIOCSIFMTU, &ifr));
	print_number(1, now() - start, "\n");
	call(SYS_exit, 0);
}
