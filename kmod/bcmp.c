/* The compilers turn memcmp(a, b, n) == 0 into bcmp, which the kernel has as a macro alone. */
#include <sys/types.h>

int	memcmp(const void *, const void *, size_t);
int	bcmp(const void *, const void *, size_t);

int
bcmp(const void *a, const void *b, size_t n)
{
	return (memcmp(a, b, n));
}
