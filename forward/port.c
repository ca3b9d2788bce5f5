/* port.c - PORT, TARGET, ALLOW_FROM, NAMESERVERS and MODE as people write them. */
#include "forward/port.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

static const char separators[] = ", \t\r\n\v\f";

/* Cut the next word off *rest; false at the end. */
static bool next_word(const char **rest, struct str *word)
{
	word->at = *rest + strspn(*rest, separators);
	word->len = strcspn(word->at, separators);
	*rest = word->at + word->len;
	return word->len > 0;
}

/* A word as it can be shown: printable, and not too much of it. */
struct shown {
	char text[80];
};

static struct shown show(struct str word)
{
	struct shown shown;
	size_t max = sizeof(shown.text) - 1, i;

	for (i = 0; i < word.len && i < max; i++)
		shown.text[i] = word.at[i] >= ' ' && word.at[i] <= '~' ? word.at[i] : '?';
	shown.text[i] = '\0';
	if (word.len > max)
		memcpy(shown.text + max - 3, "...", 3);
	return shown;
}

static int wrong(char error[FORWARD_ERROR_MAX], const char *variable, struct str word,
		 const char *what)
{
	snprintf(error, FORWARD_ERROR_MAX, "%s: \"%s\" %s", variable, show(word).text, what);
	return -EINVAL;
}

/* Ports */

static bool is_number(struct str word)
{
	for (size_t i = 0; i < word.len; i++)
		if (word.at[i] < '0' || word.at[i] > '9')
			return false;
	return word.len > 0;
}

/* Decimal, no leading zero: some read that as octal. */
static bool parse_number(struct str word, uint16_t *port)
{
	unsigned long value = 0;

	if (!is_number(word) || word.len > 5 || word.at[0] == '0')
		return false;
	for (size_t i = 0; i < word.len; i++)
		value = value * 10 + (unsigned long)(word.at[i] - '0');
	*port = (uint16_t)value;
	return value <= UINT16_MAX;
}

/* "443" or "https". */
static bool parse_port(struct str word, bool udp, uint16_t *port)
{
	char name[64];
	const struct servent *service;

	if (is_number(word) || word.len == 0 || word.len >= sizeof(name))
		return parse_number(word, port);
	memcpy(name, word.at, word.len);
	name[word.len] = '\0';
	service = getservbyname(name, udp ? "udp" : "tcp");
	if (service)
		*port = ntohs((uint16_t)service->s_port);
	return service != NULL;
}

/* "8000-8010", or one port; a service may have a dash in its name. */
static bool parse_range(struct str word, bool udp, struct port_range *range)
{
	const char *dash = memchr(word.at, '-', word.len);
	size_t left = dash ? (size_t)(dash - word.at) : 0;

	if (parse_port(word, udp, &range->first)) {
		range->last = range->first;
		return true;
	}
	return dash && parse_number((struct str){ word.at, left }, &range->first) &&
	       parse_number((struct str){ dash + 1, word.len - left - 1 }, &range->last) &&
	       range->first < range->last;
}

static int add_port(struct forward_settings *settings, struct str word, uint16_t listen,
		    uint16_t dial, char error[FORWARD_ERROR_MAX])
{
	for (unsigned i = 0; i < settings->port_count; i++) {
		if (settings->ports[i].listen == listen) {
			snprintf(error, FORWARD_ERROR_MAX, "PORT: \"%s\": %u is in the list "
				 "twice: each port can be listened on once", show(word).text,
				 listen);
			return -EINVAL;
		}
	}
	if (settings->port_count == FORWARD_PORTS_MAX) {
		snprintf(error, FORWARD_ERROR_MAX, "PORT: more than %d ports", FORWARD_PORTS_MAX);
		return -EINVAL;
	}
	settings->ports[settings->port_count++] =
		(struct forward_port){ .listen = listen, .dial = dial };
	return 0;
}

static int add_word(struct forward_settings *settings, struct str word,
		    char error[FORWARD_ERROR_MAX])
{
	const char *colon = memchr(word.at, ':', word.len);
	size_t left = colon ? (size_t)(colon - word.at) : word.len;
	struct str from = { word.at, left }, to = from;
	struct port_range listen, dial;

	if (colon)
		to = (struct str){ colon + 1, word.len - left - 1 };
	if (!parse_range(from, settings->udp, &listen) || !parse_range(to, settings->udp, &dial))
		return wrong(error, "PORT", word, "is no port: write 443, a service like https, "
			     "a range like 8000-8010, or 8443:443 to dial another port");
	if (listen.last - listen.first != dial.last - dial.first)
		return wrong(error, "PORT", word, "maps ranges of different lengths: "
			     "write 8000-8010:9000-9010");
	for (unsigned i = 0; i <= (unsigned)(listen.last - listen.first); i++) {
		int err = add_port(settings, word, (uint16_t)(listen.first + i),
				   (uint16_t)(dial.first + i), error);

		if (err < 0)
			return err;
	}
	return 0;
}

/* Ports that lead back to us when TARGET is ourselves. */
static void find_loops(struct forward_settings *settings)
{
	for (unsigned i = 0; i < settings->port_count; i++)
		for (unsigned j = 0; j < settings->port_count; j++)
			if (settings->ports[i].dial == settings->ports[j].listen)
				settings->ports[i].dials_listened = true;
}

int forward_ports_parse(const char *text, struct forward_settings *settings,
			char error[FORWARD_ERROR_MAX])
{
	struct str word;
	int err = 0;

	settings->ports = calloc(FORWARD_PORTS_MAX, sizeof(*settings->ports));
	settings->port_count = 0;
	if (!settings->ports) {
		snprintf(error, FORWARD_ERROR_MAX, "PORT: no memory");
		return -ENOMEM;
	}
	while (err == 0 && next_word(&text, &word))
		err = add_word(settings, word, error);
	if (err < 0)
		return err;
	if (settings->port_count == 0) {
		snprintf(error, FORWARD_ERROR_MAX, "PORT: no port in it: write e.g. 80 443");
		return -EINVAL;
	}
	find_loops(settings);
	return (int)settings->port_count;
}

/* Target */

static bool strip_brackets(struct str *word)
{
	if (word->len < 2 || word->at[0] != '[' || word->at[word->len - 1] != ']')
		return false;
	*word = (struct str){ word->at + 1, word->len - 2 };
	return true;
}

int forward_target_parse(const char *text, struct forward_settings *settings,
			 char error[FORWARD_ERROR_MAX])
{
	struct str word = str_of(text);
	bool brackets = strip_brackets(&word);

	if (text[0] == '\0') {
		snprintf(error, FORWARD_ERROR_MAX,
			 "TARGET is not set: give the name or address to forward to");
		return -EINVAL;
	}
	settings->by_name = !addr_parse(word, &settings->addr);
	if (brackets && (settings->by_name || settings->addr.sa.sa_family != AF_INET6))
		return wrong(error, "TARGET", str_of(text), "has no IPv6 address in its brackets");
	if (!settings->by_name) {
		addr_unmap(&settings->addr);
		memcpy(settings->target, word.at, word.len);
		settings->target[word.len] = '\0';
		return 0;
	}
	if (memchr(word.at, ':', word.len) || memchr(word.at, '/', word.len))
		return wrong(error, "TARGET", word, "is no name or address: write it alone, "
			     "without scheme, port or path; ports are in PORT");
	if (hostname_normalise(word, settings->target) == 0)
		return wrong(error, "TARGET", word, "is no host name or address");
	forward_names(settings, NULL, true);
	return 0;
}

static unsigned count_dots(const char *text)
{
	unsigned dots = 0;

	for (; *text; text++)
		dots += *text == '.';
	return dots;
}

void forward_names(struct forward_settings *settings, const struct resolv_search *search,
		   bool absolute)
{
	static_assert((int)FORWARD_NAMES_MAX > (int)RESOLV_SEARCH_MAX, "all domains and itself");
	bool searched = search && !absolute && count_dots(settings->target) < search->ndots;

	settings->name_count = 0;
	for (unsigned i = 0; searched && i < search->count; i++) {
		char joined[2 * HOSTNAME_MAX + 2];
		char *name = settings->names[settings->name_count];

		snprintf(joined, sizeof(joined), "%s.%s", settings->target, search->domains[i]);
		settings->name_count += hostname_normalise(str_of(joined), name) > 0;
	}
	memcpy(settings->names[settings->name_count++], settings->target,
	       sizeof(settings->target));
}

/* Lists of addresses */

int forward_allow_from_parse(const char *text, struct forward_settings *settings,
			     char error[FORWARD_ERROR_MAX])
{
	const char *all = text;
	struct str word;

	settings->allow_from_count = 0;
	while (next_word(&text, &word)) {
		size_t size = (settings->allow_from_count + 1) * sizeof(struct addr_range);
		struct addr_range *ranges = realloc(settings->allow_from, size);

		if (!ranges) {
			snprintf(error, FORWARD_ERROR_MAX, "ALLOW_FROM: no memory");
			return -ENOMEM;
		}
		settings->allow_from = ranges;
		if (!addr_range_parse(word, &ranges[settings->allow_from_count++]))
			return wrong(error, "ALLOW_FROM", word, "is no address and no CIDR: "
				     "write e.g. 192.0.2.1 or 10.0.0.0/8 or fd00::/8");
	}
	if (*all && settings->allow_from_count == 0)    /* a list of nothing must not mean all */
		return wrong(error, "ALLOW_FROM", str_of(all), "has no address in it: unset it to "
			     "let everybody in, or name who may connect");
	return 0;
}

bool forward_allows(const struct forward_settings *settings, const union addr *client)
{
	for (unsigned i = 0; i < settings->allow_from_count; i++) {
		const struct addr_range *range = &settings->allow_from[i];

		if (range->first.sa.sa_family == client->sa.sa_family &&
		    addr_compare_ip(&range->first, client) <= 0 &&
		    addr_compare_ip(client, &range->last) <= 0)
			return true;
	}
	return settings->allow_from_count == 0;
}

int forward_nameservers_parse(const char *text, struct upstreams *upstreams,
			      char error[FORWARD_ERROR_MAX])
{
	struct str word;

	*upstreams = (struct upstreams){ 0 };
	while (next_word(&text, &word)) {
		union addr addr;

		if (word.len > 8 && memcmp(word.at, "https://", 8) == 0)
			return wrong(error, "NAMESERVERS", word, "is DNS over HTTPS, which this "
				     "version does not speak: give addresses");
		(void)strip_brackets(&word);
		if (!addr_parse(word, &addr))
			return wrong(error, "NAMESERVERS", word, "is no address: write resolvers "
				     "by their addresses, like 8.8.8.8");
		if (upstreams->count == UPSTREAMS_MAX) {
			snprintf(error, FORWARD_ERROR_MAX, "NAMESERVERS: more than %d",
				 UPSTREAMS_MAX);
			return -EINVAL;
		}
		addr_set_port(&addr, 53);
		upstreams->addrs[upstreams->count++] = addr;
	}
	if (upstreams->count > 0)
		return 0;
	snprintf(error, FORWARD_ERROR_MAX, "NAMESERVERS: no address in it");
	return -EINVAL;
}

/* Mode */

int forward_mode(enum mode mode, struct forward_settings *settings, char error[FORWARD_ERROR_MAX])
{
	bool four = mode == MODE_TCP4 || mode == MODE_UDP4;
	bool six = mode == MODE_TCP6 || mode == MODE_UDP6;
	sa_family_t family = four ? AF_INET : six ? AF_INET6 : AF_UNSPEC;

	settings->udp = mode == MODE_UDP || mode == MODE_UDP4 || mode == MODE_UDP6;
	settings->dial_family = family;
	/* socat's tcp6 listener took IPv4 clients too. */
	settings->listen_family = four ? AF_INET : AF_UNSPEC;
	if (settings->by_name || family == AF_UNSPEC ||
	    family == settings->addr.sa.sa_family)
		return 0;
	snprintf(error, FORWARD_ERROR_MAX, "TARGET: %s is no IPv%c address, which MODE asks for",
		 settings->target, four ? '4' : '6');
	return -EINVAL;
}

void forward_settings_finish(struct forward_settings *settings)
{
	for (unsigned i = 0; i < settings->port_count; i++)
		limit_finish(&settings->ports[i].limit);
	free(settings->ports);
	free(settings->allow_from);
	free(atomic_exchange(&settings->hosts, NULL));
	settings->ports = NULL;
	settings->allow_from = NULL;
	settings->port_count = settings->allow_from_count = 0;
}

const char *forward_socat(const struct forward_settings *settings, const struct forward_port *port,
			  const char *mode, uint32_t conns_max, char out[FORWARD_SOCAT_MAX])
{
	const char *verbose = settings->verbose > 0 ? "-v " : "";
	char target[HOSTNAME_MAX + 1];
	bool brackets = false;

	if (settings->by_name)
		memcpy(target, settings->target, sizeof(target));
	else
		addr_format_ip(&settings->addr, target);
	brackets = !settings->by_name && settings->addr.sa.sa_family == AF_INET6;
	if (settings->udp && !settings->udp_answers)
		snprintf(out, FORWARD_SOCAT_MAX,
			 "%sudp-recv:%u,reuseaddr udp-sendto:%s%s%s:%u", verbose, port->listen,
			 brackets ? "[" : "", target, brackets ? "]" : "", port->dial);
	else
		snprintf(out, FORWARD_SOCAT_MAX,
			 "%s%s-listen:%u,fork,reuseaddr,max-children=%u %s-connect:%s%s%s:%u",
			 verbose, mode, port->listen, conns_max, mode, brackets ? "[" : "",
			 target, brackets ? "]" : "", port->dial);
	return out;
}
