/* The options of GENERIC that change what a module is compiled to. */
#define	SMP	1
#define	MAC	1
#define	VIMAGE	1
#define	DEV_NETMAP	1
#define	KDTRACE_HOOKS	1
