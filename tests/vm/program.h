/*
 * For the programs of this directory. They are linked with nothing: where they are built there may be FreeBSD's headers,
 * and no more. A program begins with `_start`, which is given the words that the kernel has put on its stack.
 */
#ifndef PROGRAM_H
#define	PROGRAM_H

#include <sys/types.h>
#include <sys/syscall.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void	_start(long *);

/* A system call of up to six arguments. Returns a negative errno if it has failed. */
#define	call(...)	call_of(__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define	call_of(number, a, b, c, d, e, f, ...) \
	system_call((number), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static inline long
system_call(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__amd64__)
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;

	__asm__ volatile("syscall; jnc 1f; negq %%rax; 1:"
	    : "+a" (number), "+D" (a), "+S" (b), "+d" (c), "+r" (r10), "+r" (r8), "+r" (r9)
	    : : "rcx", "r11", "cc", "memory");
	return (number);
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c,
	    x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;

	__asm__ volatile("svc #0; b.cc 1f; neg x0, x0; 1:"
	    : "+r" (x0), "+r" (x1) : "r" (x8), "r" (x2), "r" (x3), "r" (x4), "r" (x5) : "cc", "memory");
	return (x0);
#endif
}

/* clang may want them. */
void	*memset(void *, int, size_t);
void	*memcpy(void *, const void *, size_t);

__attribute__((weak)) void *
memset(void *to, int byte, size_t n)
{
	for (volatile char *at = to; n-- > 0; )
		*at++ = byte;
	return (to);
}

__attribute__((weak)) void *
memcpy(void *to, const void *from, size_t n)
{
	const char *source = from;

	for (volatile char *at = to; n-- > 0; )
		*at++ = *source++;
	return (to);
}

static inline unsigned
length_of(const char *text)
{
	unsigned n = 0;

	while (text[n] != '\0')
		n++;
	return (n);
}

static inline bool
is_same(const char *a, const char *b)
{
	while (*a != '\0' && *a == *b)
		a++, b++;
	return (*a == *b);
}

/* Returns where `to` now ends. */
static inline char *
copy(char *to, const char *from)
{
	while ((*to = *from++) != '\0')
		to++;
	return (to);
}

static inline char *
copy_number(char *to, unsigned long n)
{
	unsigned digits = 1;

	for (unsigned long rest = n; rest >= 10; rest /= 10)
		digits++;
	to[digits] = '\0';
	for (char *at = to + digits; at > to; n /= 10)
		*--at = '0' + n % 10;
	return (to + digits);
}

static inline unsigned long
number_of(const char *digits)
{
	unsigned long n = 0;

	while (*digits >= '0' && *digits <= '9')
		n = n * 10 + *digits++ - '0';
	return (n);
}

static inline void
print(int fd, const char *text)
{
	call(SYS_write, fd, text, length_of(text));
}

#endif
