/*
 * lagg_send PROTOCOL ADDRESS PORT N: sends N packets, and prints how many nanoseconds that took:
 *
 *	udp	datagrams of 64 bytes, each by a call, from the same port
 *	tcp	as many bytes as N full segments have, until the other end has closed too
 */
#include "../program.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <netinet/in.h>

#define	DATAGRAM	64
#define	SEGMENT		1448
#define	SEGMENTS	16	/* in a call */

static char data[SEGMENTS * SEGMENT];

static long
want(long result)
{
	char text[40];

	if (result >= 0)
		return (result);
	copy(copy_number(text, -result), " is what a call has failed with\n");
	print(2, text);
	call(SYS_exit, 1);
	__builtin_unreachable();
}

static unsigned long
now(void)
{
	struct timespec ts;

	want(call(SYS_clock_gettime, CLOCK_MONOTONIC, &ts));
	return (ts.tv_sec * 1000000000ul + ts.tv_nsec);
}

/* Four numbers, with dots between them, in network byte order. */
static uint32_t
address_of(const char *text)
{
	uint32_t address = 0;

	for (unsigned n = 0; n < 4; n++) {
		address |= (uint32_t)number_of(text) << 8 * n;
		while (*text != '\0' && *text++ != '.')
			;
	}
	return (address);
}

void
_start(long *stack)
{
	char **arguments = (char **)(stack + 1), text[40];
	struct sockaddr_in to = { .sin_len = sizeof(to), .sin_family = AF_INET }, from = to;
	unsigned long n, start;
	bool is_tcp;
	long s;

	if (stack[0] != 5)
		want(-22);
	is_tcp = is_same(arguments[1], "tcp");
	to.sin_addr.s_addr = address_of(arguments[2]);
	to.sin_port = from.sin_port = htons(number_of(arguments[3]));
	n = number_of(arguments[4]);
	s = want(call(SYS_socket, AF_INET, is_tcp ? SOCK_STREAM : SOCK_DGRAM, 0));
	if (!is_tcp)
		want(call(SYS_bind, s, &from, sizeof(from)));
	want(call(SYS_connect, s, &to, sizeof(to)));
	start = now();
	if (is_tcp) {
		for (unsigned long rest = n * SEGMENT; rest > 0; )
			rest -= want(call(SYS_write, s, data, rest < sizeof(data) ? rest : sizeof(data)));
		want(call(SYS_shutdown, s, SHUT_WR));
		while (want(call(SYS_read, s, data, sizeof(data))) > 0)
			;
	} else
		for (unsigned long i = 0; i < n; i++)
			want(call(SYS_write, s, data, DATAGRAM));
	copy(copy_number(text, now() - start), "\n");
	print(1, text);
	call(SYS_exit, 0);
}
