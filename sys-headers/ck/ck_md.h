/*
 * Concurrency Kit asks its platform what it is. A distribution's answer is that of its own machine; this is the
 * answer of FreeBSD's kernel, for the two architectures of this module.
 */
#ifndef CK_MD_H
#define CK_MD_H

#include <sys/param.h>

#ifdef __amd64__
#define	CK_MD_CACHELINE	(64)
#define	CK_MD_TSO
#else
#define	CK_MD_CACHELINE	(CACHE_LINE_SIZE)
#define	CK_MD_RMO
#endif

#define	CK_MD_PAGESIZE	(PAGE_SIZE)
#define	CK_MD_RTM_DISABLE
#define	CK_MD_LSE_DISABLE
#define	CK_MD_POINTER_PACK_DISABLE
#define	CK_MD_VMA_BITS_UNKNOWN
#define	CK_PR_DISABLE_DOUBLE
#define	CK_MD_CC_BUILTIN_DISABLE 1

#endif
