/*
 * lagg_netmap IFNAME: has netmap(4) take an interface, and forwards what it receives to the host's stack and what the
 * stack sends on it to the wire, as if netmap were not there. How many frames went each way is kept in the standard
 * output, which is a file: "from the wire %10u, to the wire %10u".
 */
#include "../program.h"

#include <sys/fcntl.h>
#include <sys/ioccom.h>
#include <sys/mman.h>
#include <sys/poll.h>
#include <net/if.h>
#include <net/netmap.h>
#include <net/netmap_user.h>

static void
put_number(char *end, unsigned long n, unsigned width)
{
	while (width-- > 0) {
		*--end = '0' + n % 10;
		n /= 10;
	}
}

static long
want(const char *what, long result)
{
	char text[] = "lagg_netmap: errno 000 of ";

	if (result >= 0)
		return (result);
	put_number(text + sizeof("lagg_netmap: errno 000") - 1, -result, 3);
	print(2, text);
	print(2, what);
	print(2, "\n");
	call(SYS_exit, 1, 0);
	__builtin_unreachable();
}

static void
report(unsigned long from, unsigned long to)
{
	char text[] = "from the wire 0000000000, to the wire 0000000000\n";

	put_number(text + sizeof("from the wire 0000000000") - 1, from, 10);
	put_number(text + sizeof(text) - 2, to, 10);
	want("pwrite", call(SYS_pwrite, 1, text, sizeof(text) - 1));
}

/* Moves frames by exchanging buffers. */
static unsigned
forward(struct netmap_ring *from, struct netmap_ring *to)
{
	unsigned n = 0;

	while (!nm_ring_empty(from) && !nm_ring_empty(to)) {
		struct netmap_slot *in = &from->slot[from->cur], *out = &to->slot[to->cur];
		uint32_t buffer = out->buf_idx;

		out->buf_idx = in->buf_idx;
		out->len = in->len;
		in->buf_idx = buffer;
		in->flags |= NS_BUF_CHANGED;
		out->flags |= NS_BUF_CHANGED;
		from->head = from->cur = nm_ring_next(from, from->cur);
		to->head = to->cur = nm_ring_next(to, to->cur);
		n++;
	}
	return (n);
}

void
_start(long *stack)
{
	const char *name = (const char *)stack[2];
	struct nmreq_register rings = { .nr_mode = NR_REG_NIC_SW };
	struct nmreq_header request = {
		.nr_version = NETMAP_API,
		.nr_reqtype = NETMAP_REQ_REGISTER,
		.nr_body = (uintptr_t)&rings,
	};
	struct pollfd ready = { .events = POLLIN };
	struct netmap_ring *tx, *rx, *host_tx, *host_rx;
	struct netmap_if *interface;
	unsigned long from = 0, to = 0;
	unsigned i;
	long memory;

	want("the arguments: lagg_netmap IFNAME", stack[0] == 2 ? 0 : -1);
	for (i = 0; name[i] != '\0' && i < sizeof(request.nr_name) - 1; i++)
		request.nr_name[i] = name[i];
	ready.fd = want("open /dev/netmap", call(SYS_open, "/dev/netmap", O_RDWR));
	want("NETMAP_REQ_REGISTER", call(SYS_ioctl, ready.fd, NIOCCTRL, &request));
	memory = want("mmap", call(SYS_mmap, 0, rings.nr_memsize, PROT_READ | PROT_WRITE, MAP_SHARED, ready.fd, 0));
	interface = NETMAP_IF(memory, rings.nr_offset);
	/* An emulated adapter has one ring each way, and so has the host. */
	want("more rings than one", rings.nr_tx_rings == 1 && rings.nr_rx_rings == 1 ? 0 : -1);
	tx = NETMAP_TXRING(interface, 0);
	rx = NETMAP_RXRING(interface, 0);
	host_tx = NETMAP_TXRING(interface, 1);
	host_rx = NETMAP_RXRING(interface, 1);

	for (;;) {
		report(from, to);
		want("poll", call(SYS_poll, &ready, 1, INFTIM));
		want("the interface", ready.revents & POLLERR ? -1 : 0);
		from += forward(rx, host_tx);
		to += forward(host_rx, tx);
		want("NIOCTXSYNC", call(SYS_ioctl, ready.fd, NIOCTXSYNC));
	}
}
