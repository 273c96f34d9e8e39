/*
 * Packets: raw ones by bpf(4) on any interface, received ones by tap(4), and UDP's to the nets that `inet` makes.
 */
#include "fuzz.h"

#include <sys/time.h>
#include <net/bpf.h>
#include <net/ethernet.h>
#include <netinet/in.h>

#define	BURST	16

static unsigned char frame[1514];

/* A frame of some kind; returns its length. */
static unsigned
fill(struct worker *w)
{
	static const unsigned char kinds[][ETHER_ADDR_LEN] = {
		{ 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, { 2, 0, 0, 0, 0, 1 }, { 1, 0, 0, 0, 0, 3 },
		{ 0x01, 0x80, 0xc2, 0, 0, 2 },		/* LACP's */
	};
	unsigned kind = pick(w, 4), at = 2 * ETHER_ADDR_LEN;

	for (unsigned n = 0; n < 64; n++)
		frame[n] = pick(w, 256);
	memcpy(frame, kinds[kind], ETHER_ADDR_LEN);
	frame[6] = 2;
	if (chance(w, 3)) {
		frame[at++] = ETHERTYPE_VLAN >> 8;
		frame[at++] = ETHERTYPE_VLAN & 0xff;
		frame[at++] = 0;
		frame[at++] = 1 + pick(w, 5);
	}
	if (kind == 3) {
		frame[at++] = ETHERTYPE_SLOW >> 8;
		frame[at++] = ETHERTYPE_SLOW & 0xff;
		frame[at++] = 1 + pick(w, 2);
		frame[at++] = 1;
		frame[at++] = 1;
		frame[at++] = chance(w, 2) ? 20 : 16;
		return (124);
	}
	if (chance(w, 3)) {
		frame[at++] = ETHERTYPE_IPV6 >> 8;
		frame[at++] = ETHERTYPE_IPV6 & 0xff;
		frame[at] = 0x60;
	} else {
		frame[at++] = ETHERTYPE_IP >> 8;
		frame[at++] = ETHERTYPE_IP & 0xff;
		frame[at] = 0x45;
	}
	return (chance(w, 2) ? 60 : 14 + pick(w, 1500));
}

/* Raw, by bpf(4), perhaps with promiscuous mode. */
static void
raw(struct worker *w)
{
	struct ifreq request = {};
	unsigned complete = 1;
	long fd = call(SYS_open, "/dev/bpf", O_RDWR | O_NONBLOCK, 0);

	any(w, request.ifr_name);
	if (fd < 0)
		return;
	guard(w, request.ifr_name, false);
	call(SYS_ioctl, fd, BIOCSHDRCMPLT, &complete);
	if (call(SYS_ioctl, fd, BIOCSETIF, &request) >= 0) {
		if (chance(w, 4) && !is_vlan(request.ifr_name))
			call(SYS_ioctl, fd, BIOCPROMISC, 0);
		for (unsigned n = 0; n < BURST; n++)
			call(SYS_write, fd, frame, fill(w));
	}
	call(SYS_close, fd);
	unguard(w);
}

static void
received(struct worker *w)
{
	char path[16];
	long fd;

	copy_number(copy(path, "/dev/tap"), pick(w, 2));
	/* Its close removes addresses. */
	guard_addresses(w, true);
	guard(w, "tap", false);
	fd = call(SYS_open, path, O_RDWR | O_NONBLOCK, 0);
	for (unsigned n = 0; fd >= 0 && n < BURST; n++) {
		call(SYS_write, fd, frame, fill(w));
		call(SYS_read, fd, frame, sizeof(frame));
	}
	if (fd >= 0)
		call(SYS_close, fd);
	unguard(w);
}

static void
udp(struct worker *w)
{
	struct sockaddr_in to = { .sin_len = sizeof(to), .sin_family = AF_INET, .sin_port = pick(w, 65536) };
	struct sockaddr_in6 to6 = { .sin6_len = sizeof(to6), .sin6_family = AF_INET6, .sin6_port = 0x900 };
	char name[IFNAMSIZ];

	for (unsigned n = 0; n < BURST; n++) {
		to.sin_port++;
		to.sin_addr.s_addr = 10 | pick(w, 4) << 16 | (chance(w, 2) ? 2u : w->jail == NULL ? 255u : 1u) << 24;
		call(SYS_sendto, w->sockets[INET], frame, pick(w, 1400), MSG_DONTWAIT, &to, sizeof(to));
	}
	any(w, name);
	to6.sin6_addr.s6_addr[0] = 0xff;
	to6.sin6_addr.s6_addr[1] = 2;
	to6.sin6_addr.s6_addr[15] = 1;
	to6.sin6_scope_id = index_of(w, name);
	for (unsigned n = 0; n < BURST; n++)
		call(SYS_sendto, w->sockets[INET6], frame, pick(w, 1400), MSG_DONTWAIT, &to6, sizeof(to6));
}

void
traffic(struct worker *w)
{
	switch (pick(w, 4)) {
	case 0:
		udp(w);
		break;
	case 1:
		received(w);
		break;
	default:
		raw(w);
	}
}
