#!/usr/sbin/dtrace -qs
/* The conversation of LACP: the states in each LACPDU, in hexadecimal, and how the machines move. */
lagg:::lacp-pdu-in, lagg:::lacp-pdu-out
{
	printf("%d ms %s %s %s: actor %02x, partner %02x\n", timestamp / 1000000, stringof(arg0), stringof(arg1), probename,
	    *(uint8_t *)(arg2 + 32), *(uint8_t *)(arg2 + 52));
}

lagg:::lacp-mux, lagg:::lacp-receive
{
	printf("%d ms %s %s %s: %s to %s\n", timestamp / 1000000, stringof(arg0), stringof(arg1), probename,
	    stringof(arg2), stringof(arg3));
}
