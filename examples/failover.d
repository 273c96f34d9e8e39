#!/usr/sbin/dtrace -qs
/* Which port failover sends on, and why; and which ports of any lagg go in and out of service. */
lagg:::failover
{
	printf("%Y %s: %s takes over from %s (%s)\n", walltimestamp, stringof(arg0), stringof(arg2), stringof(arg1),
	    stringof(arg3));
}

lagg:::port-state
{
	printf("%Y %s: %s from \"%s\" to \"%s\"\n", walltimestamp, stringof(arg0), stringof(arg1), stringof(arg2),
	    stringof(arg3));
}
