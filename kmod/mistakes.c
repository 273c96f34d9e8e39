/*
 * Mistakes on purpose. Each is a sysctl that makes it when it is written. A kernel with KASAN or KCSAN reports them, as
 * tests/vm/sanitizer.sh checks. Only a module that is built for such a kernel has them.
 */
#ifdef LAGG_RS_MISTAKES
#include "wrapper.h"

/* Defined in Rust: src/kpi/freebsd/mistakes.rs. */
void	lagg_rs_mistake_freed(void);
void	lagg_rs_mistake_stack(void);
void	lagg_rs_mistake_global(void);
void	lagg_rs_mistake_race(void);

/* So often that two processors meet, busy as their host may be. */
#define	MANY	(1 << 20)

static volatile u_int lagg_c_mistake_word;

static __noinline void
lagg_c_mistake_freed(void)
{
	u_int *memory = malloc(64, M_LAGG, M_WAITOK | M_ZERO);

	free(memory, M_LAGG);
	lagg_c_mistake_word = *(volatile u_int *)memory;
}

static __noinline void
lagg_c_mistake_race(void)
{
	for (u_int i = 0; i < MANY; i++)
		lagg_c_mistake_word++;
}

static int
lagg_mistake(SYSCTL_HANDLER_ARGS)
{
	void (*make)(void) = (void (*)(void))arg1;
	int value = 0;
	int error = sysctl_handle_int(oidp, &value, 0, req);

	if (error == 0 && req->newptr != NULL)
		make();
	return (error);
}

static SYSCTL_NODE(_debug, OID_AUTO, lagg_mistake, CTLFLAG_RW | CTLFLAG_MPSAFE, 0, "Mistakes of if_lagg_rs.ko, on purpose");

#define	MISTAKE(name, make, text)									\
	SYSCTL_PROC(_debug_lagg_mistake, OID_AUTO, name, CTLTYPE_INT | CTLFLAG_RW | CTLFLAG_MPSAFE,	\
	    make, 0, lagg_mistake, "I", text)

MISTAKE(freed_c, lagg_c_mistake_freed, "C reads memory that it has freed");
MISTAKE(freed_rust, lagg_rs_mistake_freed, "Rust reads memory that it has freed");
MISTAKE(stack_rust, lagg_rs_mistake_stack, "Rust reads what is next to a variable on the stack");
MISTAKE(global_rust, lagg_rs_mistake_global, "Rust reads what is next to a static");
MISTAKE(race_c, lagg_c_mistake_race, "C changes a word without a lock");
MISTAKE(race_rust, lagg_rs_mistake_race, "Rust changes a word without a lock");
#endif
