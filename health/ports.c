/* ports.c - lists of ports as text. */
#include "health/ports.h"

#include <stdio.h>

static bool follows(const struct health_port *one, const struct health_port *next)
{
	return one->listen == one->dial && next->listen == next->dial &&
	       next->listen == one->listen + 1;
}

bool ports_text(const struct health_port *ports, unsigned count, char *out, size_t size)
{
	size_t len = 0;

	out[0] = '\0';
	for (unsigned i = 0, last; i < count; i = last + 1) {
		const char *blank = i > 0 ? " " : "";
		int n;

		for (last = i; last + 1 < count && follows(&ports[last], &ports[last + 1]); last++)
			;
		if (last > i)
			n = snprintf(out + len, size - len, "%s%u-%u", blank, ports[i].listen,
				     ports[last].listen);
		else if (ports[i].listen == ports[i].dial)
			n = snprintf(out + len, size - len, "%s%u", blank, ports[i].listen);
		else
			n = snprintf(out + len, size - len, "%s%u:%u", blank, ports[i].listen,
				     ports[i].dial);
		if (n < 0 || (size_t)n >= size - len)
			return false;
		len += (size_t)n;
	}
	return true;
}

/* Digits at *at, behind which it is left. */
static unsigned take_number(const char **at, const char *end)
{
	unsigned number = 0;

	for (; *at < end && **at >= '0' && **at <= '9' && number <= UINT16_MAX; (*at)++)
		number = number * 10 + (unsigned)(**at - '0');
	return number;
}

bool ports_have(struct str text, uint16_t port)
{
	const char *at = text.at, *end = text.len > 0 ? text.at + text.len : text.at;

	while (at < end) {
		unsigned first = take_number(&at, end), last = first;

		if (at < end && *at == '-') {
			at++;
			last = take_number(&at, end);
		}
		if (first > 0 && port >= first && port <= last)
			return true;
		while (at < end && *at != ' ')
			at++;
		at++;
	}
	return false;
}
