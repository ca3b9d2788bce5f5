/* gate.c - the Host, Origin and Content-Type of a request, and whose address it has.
 * A request with a good key is no browser's doing: no page can send the header X-Api-Key to us
 * without knowing a key, so such a request passes. */
#include "dashboard/gate.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "dashboard/route.h"
#include "dashboard/server.h"

enum { FORWARDED_LINES_MAX = 32 };

static struct str trim(struct str text)
{
	while (text.len > 0 && (text.at[0] == ' ' || text.at[0] == '\t')) {
		text.at++;
		text.len--;
	}
	while (text.len > 0 && strchr(" \t", text.at[text.len - 1]))
		text.len--;
	return text;
}

/* The next entry of a comma list, trimmed; false: no more. */
static bool next_entry(const char **list, struct str *entry)
{
	while (**list != '\0') {
		size_t len = strcspn(*list, ",");

		*entry = trim((struct str){ *list, len });
		*list += len + ((*list)[len] == ',');
		if (entry->len > 0)
			return true;
	}
	return false;
}

int gate_check_list(const char *text)
{
	struct addr_range range;
	struct str entry;

	while (next_entry(&text, &entry))
		if (!addr_range_parse(entry, &range))
			return -EINVAL;
	return 0;
}

static bool is_trusted(const char *list, const union addr *addr)
{
	struct addr_range range;
	struct str entry;

	while (next_entry(&list, &entry))
		if (addr_range_parse(entry, &range) &&
		    range.first.sa.sa_family == addr->sa.sa_family &&
		    addr_compare_ip(&range.first, addr) <= 0 &&
		    addr_compare_ip(addr, &range.last) <= 0)
			return true;
	return false;
}

/* Addresses from the right while they are trusted proxies; false: no further ones count. */
static bool walk_line(const char *text, const char *list, union addr *client)
{
	size_t end = strlen(text);

	while (end > 0) {
		size_t begin = end;
		union addr addr;

		while (begin > 0 && text[begin - 1] != ',')
			begin--;
		if (!addr_parse(trim((struct str){ text + begin, end - begin }), &addr))
			return false;
		addr_unmap(&addr);
		*client = addr;
		if (!is_trusted(list, &addr))
			return false;
		end = begin > 0 ? begin - 1 : 0;
	}
	return true;
}

/* A header's lines, in their order. */
struct lines {
	const char *name, *line[FORWARDED_LINES_MAX];
	size_t count;                   /* also of those without room */
};

static enum MHD_Result on_header(void *arg, enum MHD_ValueKind kind, const char *name,
				 const char *value)
{
	struct lines *lines = arg;

	(void)kind;
	if (strcasecmp(name, lines->name) != 0)
		return MHD_YES;
	lines->line[lines->count++ % FORWARDED_LINES_MAX] = value ? value : "";
	return MHD_YES;
}

static struct lines lines_of(const struct request *request, const char *name)
{
	struct lines lines = { .name = name };

	(void)MHD_get_connection_values(request->conn, MHD_HEADER_KIND, on_header, &lines);
	return lines;
}

/* The right-most address of X-Forwarded-For that is no trusted proxy itself.  A proxy may add a
 * line of its own below those that came, whoever wrote these. */
static void forwarded_for(const struct request *request, const char *list, union addr *client)
{
	struct lines lines = lines_of(request, "X-Forwarded-For");
	size_t oldest = lines.count < FORWARDED_LINES_MAX ? 0 : lines.count - FORWARDED_LINES_MAX;

	for (size_t i = lines.count; i > oldest; i--)
		if (!walk_line(lines.line[(i - 1) % FORWARDED_LINES_MAX], list, client))
			return;
}

void gate_source(struct request *request, const union addr *peer)
{
	const char *list = request->server->options->trusted_proxies;
	union addr client = *peer;

	if (peer->sa.sa_family == 0) {
		text_copy(request->source, sizeof(request->source), "unix");
		return;
	}
	if (list[0] != '\0' && is_trusted(list, peer)) {
		request->by_proxy = true;
		request->by_https = strcasecmp(request_header(request, "X-Forwarded-Proto"),
					       "https") == 0;
		forwarded_for(request, list, &client);
	}
	addr_format_ip(&client, request->source);
}

/* The host part of "name:port", "[::1]:port". */
static struct str host_of(struct str host)
{
	const char *colon;

	if (host.len > 0 && host.at[0] == '[') {
		const char *end = memchr(host.at, ']', host.len);

		return end ? (struct str){ host.at + 1, (size_t)(end - host.at) - 1 } : host;
	}
	colon = memchr(host.at, ':', host.len);
	return colon ? (struct str){ host.at, (size_t)(colon - host.at) } : host;
}

/* Is it one of ALLOWED_HOSTS, with its port or without? */
static bool host_listed(const char *list, struct str host)
{
	struct str name = host_of(host), entry;

	while (next_entry(&list, &entry))
		if (str_equal_nocase(entry, name) || str_equal_nocase(entry, host))
			return true;
	return false;
}

static bool host_allowed(const char *list, struct str host)
{
	struct str name = host_of(host);
	union addr addr;

	if (addr_parse(name, &addr))
		return true;
	/* Such a name has no owner on the internet who could point it at us. */
	if (!memchr(name.at, '.', name.len))
		return true;
	if (name.len > 10 &&
	    str_equal_nocase((struct str){ name.at + name.len - 10, 10 }, STR(".localhost")))
		return true;
	return host_listed(list, host);
}

static bool in_list(const char *list, struct str text)
{
	struct str entry;

	while (next_entry(&list, &entry))
		if (str_equal_nocase(entry, text))
			return true;
	return false;
}

/* Does a page of ours, or of CORS_ALLOWED_ORIGINS, send it?  What sends no Origin is no page.
 * A proxy may have put another Host in the place of the one that the page asked for.  Browsers say
 * over https, and on this machine, whether the page is of the same origin, and no page can say it
 * for them; else ALLOWED_HOSTS has our name.  Whose name an attacker points at such a proxy has the
 * same origin too, but no session with us: only where nobody needs one the names must agree. */
static bool origin_allowed(const struct request *request)
{
	const struct options *options = request->server->options;
	const char *list = options->cors_allowed_origins;
	const char *site = request_header(request, "Sec-Fetch-Site");
	struct str origin = str_of(request_header(request, "Origin"));
	const char *host = request_header(request, "Host"), *behind;

	if (origin.len > 0 && in_list(list, origin))
		return true;
	if (site[0] != '\0' && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0)
		return false;
	if (origin.len == 0)
		return true;
	if (strcmp(site, "same-origin") == 0 && options->auth_mode != AUTH_NONE)
		return true;
	behind = strstr(origin.at, "://");
	return behind && ((host[0] != '\0' && strcasecmp(behind + 3, host) == 0) ||
			  host_listed(options->allowed_hosts, str_of(behind + 3)));
}

/* What a form or a page without our consent can send is one of three other types, or none. */
static bool type_allowed(const struct request *request)
{
	const char *type = request_header(request, "Content-Type");
	const char *len = request_header(request, "Content-Length");

	if (type[0] == '\0')
		return (len[0] == '\0' || strcmp(len, "0") == 0) &&
		       request_header(request, "Transfer-Encoding")[0] == '\0';
	return strncasecmp(type, "application/json", 16) == 0 &&
	       (type[16] == '\0' || type[16] == ';' || type[16] == ' ');
}

bool gate_check(struct request *request)
{
	const struct options *options = request->server->options;
	const struct route *route = request->route;
	const char *host = request_header(request, "Host");

	if (request->who.kind == WHO_KEY || (route && strcmp(route->path, "/health") == 0))
		return true;
	if (host[0] != '\0' && strcmp(request->source, "unix") != 0 &&
	    !host_allowed(options->allowed_hosts, str_of(host))) {
		reply_error(request, 403,
			    "this host name is not allowed: add it to ALLOWED_HOSTS");
		return false;
	}
	if (!route || strcmp(route->method, "GET") == 0)
		return true;
	if (!origin_allowed(request)) {
		reply_error(request, 403, "another site's page may not do this; if it is this "
			    "one's, by a proxy that changes Host: add its name to ALLOWED_HOSTS");
		return false;
	}
	if (!type_allowed(request)) {
		reply_error(request, 415, "the Content-Type must be application/json");
		return false;
	}
	return true;
}

bool gate_is_once(const struct request *request, const char *name)
{
	return lines_of(request, name).count == 1;
}

bool gate_is_cors(const struct request *request)
{
	struct str origin = str_of(request_header(request, "Origin"));

	return origin.len > 0 &&
	       in_list(request->server->options->cors_allowed_origins, origin);
}

void gate_cors_headers(const struct request *request, struct MHD_Response *response)
{
	struct str origin = str_of(request_header(request, "Origin"));

	if (!gate_is_cors(request))
		return;
	(void)MHD_add_response_header(response, "Access-Control-Allow-Origin", origin.at);
	(void)MHD_add_response_header(response, "Access-Control-Allow-Headers",
				      "Content-Type, X-Api-Key, Last-Event-ID");
	(void)MHD_add_response_header(response, "Access-Control-Allow-Methods",
				      "GET, POST, DELETE");
	(void)MHD_add_response_header(response, "Vary", "Origin");
}
