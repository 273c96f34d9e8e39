#!/usr/sbin/dtrace -qs
/* What is dropped where, and for how long flows of lacp wait, until it is interrupted. */
lagg:::drop
{
	@drops[stringof(arg0), stringof(arg1), stringof(arg3)] = count();
}

lagg:::lacp-resume
{
	@waits[stringof(arg0)] = quantize(arg3);
}

END
{
	printa("%s %s %s: %@d\n", @drops);
	printa("%s, ms: %@d\n", @waits);
}
