/*
 * lagg_control WHAT LAGG N [PREFIX]: makes N requests, one after the other, and prints how many microseconds all of them took:
 *
 *	join, leave	the interfaces PREFIX0 and up
 *	new		makes the interfaces vlan1 and up, with no parent
 *	vlan		gives them LAGG for a parent
 *	group		joins multicast groups on LAGG
 *
 * What a lagg puts off is waited for: the last request, an MTU that it has, is done after that.
 * It is linked with nothing: where it is built there may be FreeBSD's headers, and no more.
 */
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/sockio.h>
#include <sys/syscall.h>
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

void	_start(long *);

/* Of three arguments; below 0 it has failed. */
static long
call(long number, long a, long b, long c)
{
#if defined(__amd64__)
	__asm__ volatile("syscall; jnc 1f; negq %%rax; 1:"
	    : "+a" (number), "+D" (a), "+S" (b), "+d" (c) : : "rcx", "r8", "r9", "r10", "r11", "cc", "memory");
	return (number);
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;

	__asm__ volatile("svc #0; b.cc 1f; neg x0, x0; 1:" : "+r" (x0), "+r" (x1) : "r" (x8), "r" (x2) : "cc", "memory");
	return (x0);
#endif
}

static void
print(long fd, unsigned long n, const char *after)
{
	char text[64], *at = text + 20;
	unsigned length = 20;

	do
		*--at = '0' + n % 10;
	while ((n /= 10) != 0);
	while (*after != '\0')
		text[length++] = *after++;
	call(SYS_write, fd, (long)at, text + length - at);
}

static long
want(long result)
{
	if (result >= 0)
		return (result);
	print(2, -result, " is what a call has failed with\n");
	call(SYS_exit, 1, 0, 0);
	__builtin_unreachable();
}

/* PREFIX and N. */
static void
name(char *to, const char *prefix, unsigned n)
{
	unsigned digits = 1;

	for (unsigned rest = n; rest >= 10; rest /= 10)
		digits++;
	while (*prefix != '\0')
		*to++ = *prefix++;
	for (to += digits, *to = '\0'; digits-- > 0; n /= 10)
		*--to = '0' + n % 10;
}

static void
copy(char *to, const char *from)
{
	while ((*to++ = *from++) != '\0')
		;
}

/* clang may want them. */
void	*memset(void *, int, size_t);

void *
memset(void *to, int byte, size_t n)
{
	for (volatile char *at = to; n-- > 0; )
		*at++ = byte;
	return (to);
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
		name(port.port, prefix, n);
		want(call(SYS_ioctl, s, what == 'j' ? JOIN : LEAVE, (long)&port));
		break;
	case 'v':
		name(ifr.ifr_name, "vlan", n + 1);
		copy(vlan.vlr_parent, lagg);
		vlan.vlr_tag = n + 1;
		vlan.vlr_proto = ETHERTYPE_VLAN;
		ifr.ifr_data = (void *)&vlan;
		want(call(SYS_ioctl, s, SIOCSETVLAN, (long)&ifr));
		break;
	case 'n':
		name(ifr.ifr_name, "vlan", n + 1);
		want(call(SYS_ioctl, s, SIOCIFCREATE, (long)&ifr));
		break;
	case 'g':
		copy(ifr.ifr_name, lagg);
		group->sdl_len = sizeof(ifr.ifr_addr);
		group->sdl_family = AF_LINK;
		group->sdl_alen = ETHER_ADDR_LEN;
		group->sdl_data[0] = 1;
		group->sdl_data[4] = n >> 8;
		group->sdl_data[5] = n;
		want(call(SYS_ioctl, s, SIOCADDMULTI, (long)&ifr));
		break;
	}
}

static unsigned long
now(void)
{
	struct timespec ts;

	want(call(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&ts, 0));
	return (ts.tv_sec * 1000000ul + ts.tv_nsec / 1000);
}

void
_start(long *stack)
{
	char **arguments = (char **)(stack + 1);
	const char *lagg = arguments[2];
	unsigned count = 0;
	struct ifreq ifr = {};
	long s;
	unsigned long start;

	if (stack[0] < 4)
		want(-22);
	for (const char *digit = arguments[3]; *digit != '\0'; digit++)
		count = count * 10 + *digit - '0';
	s = want(call(SYS_socket, AF_LOCAL, SOCK_DGRAM, 0));
	copy(ifr.ifr_name, lagg);
	want(call(SYS_ioctl, s, SIOCGIFMTU, (long)&ifr));
	start = now();
	for (unsigned n = 0; n < count; n++)
		request(s, arguments[1][0], lagg, n, arguments[4]);
	want(call(SYS_ioctl, s, SIOCSIFMTU, (long)&ifr));
	print(1, now() - start, "\n");
	call(SYS_exit, 0, 0, 0);
}
