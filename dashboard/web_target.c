/* web_target.c - where a request goes: from the text of an option. */
#include "dashboard/web.h"

#include <errno.h>
#include <stdio.h>

static const struct scheme {
	const char *name;
	uint16_t port;
	bool plain;                     /* and so never to a public address */
} schemes[] = {
	{ "http", 80, true },
	{ "https", 443, false },
	{ "smtp", 25, false },          /* STARTTLS is for the mail to say */
	{ "smtps", 465, false },
};

static const struct scheme *find_scheme(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		if (strcmp(schemes[i].name, name) == 0)
			return &schemes[i];
	return NULL;
}

static int refuse(char error[WEB_ERROR_MAX], const char *what)
{
	snprintf(error, WEB_ERROR_MAX, "%s", what);
	return -EINVAL;
}

int web_target_init(struct web_target *target, const struct url *url, char error[WEB_ERROR_MAX])
{
	const struct scheme *scheme = find_scheme(url->scheme);
	size_t path_len = strlen(url->path);
	union addr addr;
	bool v6;

	*target = (struct web_target){ 0 };
	if (!scheme)
		return refuse(error, "has a scheme that is not known here: write http:// or "
				     "https://");
	if (!url->host[0])
		return refuse(error, "has no host");
	while (path_len > 0 && url->path[path_len - 1] == '/')
		path_len--;
	text_copy(target->host, sizeof(target->host), url->host);
	target->port = url->port ? url->port : scheme->port;
	target->plain = scheme->plain;
	target->absolute = addr_parse(str_of(url->host), &addr);
	v6 = target->absolute && addr.sa.sa_family == AF_INET6;
	if (target->absolute && target->plain && addr_classify(&addr) == ADDR_GLOBAL)
		return refuse(error, "is plain http to a public address, which shows everything "
				     "to anybody on the way: use https");
	if (target->absolute)
		target->addrs[target->addr_count++] = addr;
	snprintf(target->host_shown, sizeof(target->host_shown), "%s%s%s:%u", v6 ? "[" : "",
		 url->host, v6 ? "]" : "", target->port);
	snprintf(target->base, sizeof(target->base), "%s://%s%.*s", scheme->name,
		 target->host_shown, (int)path_len, url->path);
	return 0;
}

int web_target_parse(struct web_target *target, const char *text, char error[WEB_ERROR_MAX])
{
	struct url url;

	if (strncmp(text, "unix:", 5) != 0) {
		if (url_parse(str_of(text), "http", &url, error) < 0)
			return -EINVAL;
		if (strcmp(url.scheme, "http") != 0 && strcmp(url.scheme, "https") != 0)
			return refuse(error, "has a scheme that is not known here: write http:// "
					     "or https://, or unix:/path");
		if (url.user[0] || url.query[0])
			return refuse(error, "has a user or a query, which it cannot have");
		return web_target_init(target, &url, error);
	}
	*target = (struct web_target){ .absolute = true };
	text += strncmp(text, "unix://", 7) == 0 ? 7 : 5;
	if (text[0] != '/' || strlen(text) >= sizeof(target->unix_path))
		return refuse(error, "is no path of a socket: write unix:/path, of at most 107 "
				     "bytes");
	text_copy(target->unix_path, sizeof(target->unix_path), text);
	text_copy(target->host_shown, sizeof(target->host_shown), text);
	text_copy(target->base, sizeof(target->base), "http://localhost");
	return 0;
}

/* 0.0.0.0 and :: lead there too. */
static bool is_loopback(const union addr *addr)
{
	const struct in6_addr *v6 = &addr->v6.sin6_addr;
	uint32_t v4;

	if (addr->sa.sa_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(v6))
		return IN6_IS_ADDR_LOOPBACK(v6) || IN6_IS_ADDR_UNSPECIFIED(v6);
	if (addr->sa.sa_family == AF_INET6)
		memcpy(&v4, &v6->s6_addr[12], sizeof(v4));
	else
		v4 = addr->v4.sin_addr.s_addr;
	return ntohl(v4) >> 24 == IN_LOOPBACKNET || v4 == htonl(INADDR_ANY);
}

bool web_target_is_on_loopback(const struct web_target *target)
{
	union addr addr;

	if (!target->plain || target->unix_path[0])
		return false;
	return strcmp(target->host, "localhost") == 0 ||
	       (addr_parse(str_of(target->host), &addr) && is_loopback(&addr));
}

bool web_target_is_exposed(const struct web_target *target)
{
	return target->plain && !target->unix_path[0] && !web_target_is_on_loopback(target);
}
