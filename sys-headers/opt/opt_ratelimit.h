#define	RATELIMIT	1
