/*
 * What an operation is about: drawn by the worker's generator, and said in its line.
 */
#include "fuzz.h"

/* splitmix64 */
uint64_t
mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return (x ^ (x >> 31));
}

/* 0 to count - 1 */
unsigned
pick(struct worker *w, unsigned count)
{
	w->random = mix(w->random);
	return ((w->random >> 32) % count);
}

bool
chance(struct worker *w, unsigned one_in)
{
	return (pick(w, one_in) == 0);
}

void
say(struct worker *w, const char *word)
{
	if (w->length + length_of(word) + 2 >= sizeof(w->line))
		return;
	w->line[w->length++] = ' ';
	w->length = copy(w->line + w->length, word) - w->line;
}

unsigned
say_number(struct worker *w, unsigned long n)
{
	char text[24];

	copy_number(text, n);
	say(w, text);
	return (n);
}

unsigned
say_one_of(struct worker *w, unsigned count, const unsigned *choices)
{
	return (say_number(w, choices[pick(w, count)]));
}

static void
name_it(struct worker *w, char *name, const char *prefix, unsigned unit, const char *suffix)
{
	copy(copy_number(copy(name, prefix), unit), suffix);
	say(w, name);
}

/* An interface that was given another name. */
static bool
renamed(struct worker *w, char *name)
{
	if (!chance(w, 12))
		return (false);
	name_it(w, name, "fuzz", pick(w, 3), "");
	w->renamed = true;
	return (true);
}

void
lagg(struct worker *w, char *name)
{
	if (without_laggs)
		name_it(w, name, "tap", 5 + pick(w, 3), "");
	else if (!renamed(w, name))
		name_it(w, name, "lagg", pick(w, 3), "");
}

void
vlan(struct worker *w, char *name)
{
	name_it(w, name, "vlan", pick(w, 4), "");
}

void
bridge(struct worker *w, char *name)
{
	name_it(w, name, "bridge", pick(w, 2), "");
}

/* What can be a port, mostly. */
void
port(struct worker *w, char *name)
{
	if (renamed(w, name))
		return;
	switch (pick(w, 16)) {
	case 0:
		bridge(w, name);
		break;
	case 1:
		lagg(w, name);
		break;
	case 2:
	case 3:
		name_it(w, name, "tap", pick(w, 2), "");
		break;
	case 4:
	case 5:
	case 6:
		vlan(w, name);
		break;
	case 7:
	case 8:
		name_it(w, name, "vtnet", pick(w, 2), "");
		break;
	default:
		name_it(w, name, "epair", pick(w, 4), chance(w, 2) ? "a" : "b");
	}
}

void
any(struct worker *w, char *name)
{
	if (chance(w, 3))
		lagg(w, name);
	else
		port(w, name);
}

/* VLANs are never renamed. */
bool
is_vlan(const char *name)
{
	return (name[0] == 'v' && name[1] == 'l');
}

bool
is_card(const char *name)
{
	return (name[0] == 'v' && name[1] == 't');
}

/* bridge(4) does not survive requests and packets while it goes. Each network stack has its two as long as it lives. */
bool
stays(const char *name)
{
	return (name[0] == 'b');
}

/* Only the host makes these: what a jail has made and given away, its end destroys, whoever uses it. */
bool
moves(const char *name)
{
	switch (name[0]) {
	case 'f':
		return (true);
	case 'e':
		return (name[5] >= '2');
	case 'b':
		return (false);
	default:
		return (name[length_of(name) - 1] >= '1' && !is_card(name));
	}
}

/* A VLAN's. VLANs in a ring are not for the kernel, so one stands on those of lower numbers only: see docs/proof.md. */
void
parent(struct worker *w, const char *of, char *name)
{
	any(w, name);
	if (is_vlan(name) && name[4] >= of[4])
		name[0] = '\0';
}

/* 0 if there is none. */
unsigned
index_of(struct worker *w, const char *name)
{
	struct ifreq request = {};

	copy(request.ifr_name, name);
	return (call(SYS_ioctl, w->sockets[LOCAL], SIOCGIFINDEX, &request) < 0 ? 0 : (unsigned short)request.ifr_index);
}
