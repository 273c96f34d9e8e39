#define	KERN_TLS	1
