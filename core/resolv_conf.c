/* resolv_conf.c - which servers are asked for names.
 * Docker's resolver at 127.0.0.11 forwards most questions from inside the container's own network
 * namespace, unmarked, so they would come back to us; we ask its upstreams ourselves instead. */
#include "core/resolv_conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "proto/hostname.h"

enum { FILE_MAX = 65536, DNS_PORT = 53, DNS_TLS_PORT = 853 };

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct str trim(struct str text)
{
	while (text.len > 0 && is_blank(text.at[0])) {
		text.at++;
		text.len--;
	}
	while (text.len > 0 && is_blank(text.at[text.len - 1]))
		text.len--;
	return text;
}

/* Cut the text up to the first of the separators off *rest; false at the end. */
static bool next_part(struct str *rest, const char *separators, struct str *part)
{
	size_t len = 0;

	if (rest->len == 0)
		return false;
	while (len < rest->len && !(rest->at[len] && strchr(separators, rest->at[len])))
		len++;
	*part = (struct str){ rest->at, len };
	if (len < rest->len)
		len++;                          /* the separator */
	rest->at += len;
	rest->len -= len;
	return true;
}

static bool take_prefix(struct str *text, struct str prefix)
{
	if (text->len < prefix.len || memcmp(text->at, prefix.at, prefix.len) != 0)
		return false;
	text->at += prefix.len;
	text->len -= prefix.len;
	return true;
}

/* Is it there, asked in the same way? */
static bool upstreams_have(const struct upstreams *upstreams, const union addr *addr, bool tls)
{
	for (unsigned i = 0; i < upstreams->count; i++)
		if (addr_equal_ip(&upstreams->addrs[i], addr) &&
		    addr_port(&upstreams->addrs[i]) == addr_port(addr) &&
		    upstreams->tls[i].on == tls)
			return true;
	return false;
}

/* Once each, in order; what is beyond the limit is left out. */
static void upstreams_add(struct upstreams *upstreams, const union addr *addr)
{
	if (upstreams->count < UPSTREAMS_MAX && !upstreams_have(upstreams, addr, false))
		upstreams->addrs[upstreams->count++] = *addr;
}

/* "[name@]address[:port]" behind tls://. */
static bool tls_parse(struct str text, union addr *addr, struct upstream_tls *tls)
{
	const char *at = memchr(text.at, '@', text.len);

	*tls = (struct upstream_tls){ .on = true };
	if (at) {
		struct str name = { text.at, (size_t)(at - text.at) };

		if (hostname_normalise(name, tls->name) == 0)
			return false;
		text = (struct str){ at + 1, text.len - name.len - 1 };
	}
	/* Without a port an IPv6 address may stand alone. */
	if (addr_parse(text, addr))
		addr_set_port(addr, DNS_TLS_PORT);
	else if (!addr_parse_with_port(text, DNS_TLS_PORT, addr))
		return false;
	return addr_port(addr) != 0;
}

int upstreams_parse(struct str text, struct upstreams *upstreams, char error[UPSTREAMS_ERROR_MAX])
{
	struct upstreams parsed = { 0 };
	struct str part;

	while (next_part(&text, ",", &part)) {
		struct upstream_tls tls = { 0 };
		struct str rest = part = trim(part);
		union addr addr;

		if (part.len == 0)
			continue;
		if (take_prefix(&rest, STR("tls://")) ? !tls_parse(rest, &addr, &tls) :
		    !addr_parse_with_port(rest, 0, &addr) || addr_port(&addr) == 0) {
			snprintf(error, UPSTREAMS_ERROR_MAX, "DNS_UPSTREAMS: \"%.*s\" is not "
				 "address:port, write 1.1.1.1:53, [2001:db8::1]:53 or "
				 "tls://name@1.1.1.1:853",
				 part.len > 64 ? 64 : (int)part.len, part.at);
			return -EINVAL;
		}
		if (upstreams_have(&parsed, &addr, tls.on))
			continue;
		if (parsed.count == UPSTREAMS_MAX) {
			snprintf(error, UPSTREAMS_ERROR_MAX, "DNS_UPSTREAMS: more than %d servers",
				 UPSTREAMS_MAX);
			return -EINVAL;
		}
		parsed.tls[parsed.count] = tls;
		parsed.addrs[parsed.count++] = addr;
	}
	if (parsed.count == 0) {
		snprintf(error, UPSTREAMS_ERROR_MAX, "DNS_UPSTREAMS: no server in it");
		return -EINVAL;
	}
	*upstreams = parsed;
	return 0;
}

static union addr ipv4_port53(uint32_t ip)
{
	return (union addr){ .v4 = { .sin_family = AF_INET, .sin_port = htons(DNS_PORT),
				     .sin_addr.s_addr = htonl(ip) } };
}

static union addr docker_resolver(void)
{
	return ipv4_port53(0x7f00000b);         /* 127.0.0.11 */
}

/* One word of a nameserver line or of ExtServers: an address without a port. */
static bool server_parse(struct str text, union addr *addr)
{
	if (!addr_parse(text, addr))
		return false;
	addr_set_port(addr, DNS_PORT);
	return true;
}

/* "[1.1.1.1 host(127.0.0.53)]", as Docker's template prints it; the brackets and blanks or commas
 * may vary. */
static void ext_servers_parse(struct str text, struct upstreams *servers)
{
	union addr addr;
	struct str word;

	while (next_part(&text, " \t\r,[]", &word)) {
		if (take_prefix(&word, STR("host(")))
			addr = docker_resolver();
		else if (!server_parse(word, &addr))
			continue;
		upstreams_add(servers, &addr);
	}
}

void resolv_conf_parse(struct str text, struct upstream_sets *sets)
{
	struct upstreams servers = { 0 }, ext = { 0 };
	union addr addr;
	struct str line, word;

	while (next_part(&text, "\n", &line)) {
		if (take_prefix(&line, STR("# ExtServers:"))) {
			ext_servers_parse(line, &ext);
		} else if (next_part(&line, " \t", &word) && str_equal(word, STR("nameserver"))) {
			line = trim(line);
			if (next_part(&line, " \t", &word) && server_parse(word, &addr))
				upstreams_add(&servers, &addr);
		}
	}
	if (servers.count == 0) {
		addr = ipv4_port53(INADDR_LOOPBACK);
		upstreams_add(&servers, &addr); /* resolv.conf(5): the local machine */
	}
	*sets = (struct upstream_sets){ .dotted = servers, .dotless = servers };
	addr = docker_resolver();
	if (!upstreams_have(&servers, &addr, false))
		return;
	sets->dotless = (struct upstreams){ .count = 1, .addrs = { addr } };
	sets->docker_asks = ext;
	if (ext.count > 0)
		sets->dotted = ext;
}

/* Where the list has Docker's resolver, dotted names go to those that it would ask.  True: some of
 * them are others. */
static bool go_past_docker(const struct upstreams *list, const struct upstreams *docker_asks,
			   struct upstreams *out)
{
	union addr docker = docker_resolver();
	bool past = false;

	*out = (struct upstreams){ 0 };
	for (unsigned i = 0; i < list->count; i++) {
		const union addr *addr = &list->addrs[i];
		bool is_docker = !list->tls[i].on && addr_equal_ip(addr, &docker) &&
				 addr_port(addr) == DNS_PORT;

		for (unsigned k = 0; is_docker && k < docker_asks->count; k++) {
			past |= !addr_equal_ip(&docker_asks->addrs[k], &docker);
			upstreams_add(out, &docker_asks->addrs[k]);
		}
		if (is_docker && docker_asks->count > 0)
			continue;
		if (!list->tls[i].on) {
			upstreams_add(out, addr);
		} else if (out->count < UPSTREAMS_MAX) {
			out->tls[out->count] = list->tls[i];
			out->addrs[out->count++] = *addr;
		}
	}
	return past;
}

/* The first FILE_MAX bytes; the number read or -errno. */
static ssize_t file_read(const char *path, char *buf)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	size_t len = 0;
	ssize_t n = -1;

	if (fd < 0)
		return -errno;
	while (len < FILE_MAX && (n = read(fd, buf + len, FILE_MAX - len)) > 0)
		len += (size_t)n;
	n = n < 0 && len < FILE_MAX ? -errno : (ssize_t)len;
	close(fd);
	return n;
}

int upstreams_load(const char *list, const char *path, struct upstream_sets *sets,
		   char error[UPSTREAMS_ERROR_MAX])
{
	static char text[FILE_MAX];     /* start-up only, one thread */
	struct upstream_sets loaded = { 0 };
	struct upstreams listed = { 0 };
	bool has_list = trim(str_of(list)).len > 0;
	union addr docker = docker_resolver();
	ssize_t len;
	int err;

	if (has_list && (err = upstreams_parse(str_of(list), &listed, error)) < 0)
		return err;
	len = path ? file_read(path, text) : -ENOENT;
	if (len < 0 && !has_list) {
		snprintf(error, UPSTREAMS_ERROR_MAX, "cannot read %.128s (%s): set DNS_UPSTREAMS",
			 path ? path : "resolv.conf", strerror((int)-len));
		return -EINVAL;
	}
	if (len >= 0)
		resolv_conf_parse((struct str){ text, (size_t)len }, &loaded);
	if (has_list) {
		if (upstreams_have(&listed, &docker, false))
			loaded.dotless = (struct upstreams){ .count = 1, .addrs = { docker } };
		else if (!upstreams_have(&loaded.dotless, &docker, false))
			loaded.dotless = listed;
		loaded.past_docker = go_past_docker(&listed, &loaded.docker_asks, &loaded.dotted);
	}
	*sets = loaded;
	return 0;
}

/* Bad domains are left out, as bad servers are. */
static void search_parse(struct str text, struct resolv_search *search)
{
	struct str word;

	search->count = 0;
	while (search->count < RESOLV_SEARCH_MAX && next_part(&text, " \t\r", &word))
		if (hostname_normalise(word, search->domains[search->count]) > 0)
			search->count++;
}

/* "ndots:5" among other words; resolv.conf(5): at most 15. */
static void options_parse(struct str text, struct resolv_search *search)
{
	struct str word;

	while (next_part(&text, " \t\r", &word)) {
		unsigned ndots = 0;

		if (!take_prefix(&word, STR("ndots:")))
			continue;
		for (size_t i = 0; i < word.len && word.at[i] >= '0' && word.at[i] <= '9'; i++)
			ndots = ndots < 15 ? ndots * 10 + (unsigned)(word.at[i] - '0') : ndots;
		search->ndots = ndots < 15 ? ndots : 15;
	}
}

void resolv_conf_parse_system(struct str text, struct upstreams *servers,
			      struct resolv_search *search)
{
	struct str line, word;
	union addr addr;

	*servers = (struct upstreams){ 0 };
	*search = (struct resolv_search){ .ndots = 1 };
	while (next_part(&text, "\n", &line)) {
		if (!next_part(&line, " \t", &word))
			continue;
		line = trim(line);
		if (str_equal(word, STR("search")) || str_equal(word, STR("domain")))
			search_parse(line, search);
		else if (str_equal(word, STR("options")))
			options_parse(line, search);
		else if (str_equal(word, STR("nameserver")) && next_part(&line, " \t", &word) &&
			 server_parse(word, &addr))
			upstreams_add(servers, &addr);
	}
	addr = ipv4_port53(INADDR_LOOPBACK);
	if (servers->count == 0)
		upstreams_add(servers, &addr);
}

int resolv_conf_load_system(const char *path, struct upstreams *servers,
			    struct resolv_search *search)
{
	static char text[FILE_MAX];     /* start-up only, one thread */
	ssize_t len = file_read(path, text);

	if (len == -ENOENT)
		len = 0;
	if (len < 0)
		return (int)len;
	resolv_conf_parse_system((struct str){ text, (size_t)len }, servers, search);
	return 0;
}
