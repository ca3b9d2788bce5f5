/* url.c - the parts of a URL as options have it. */
#include "dashboard/url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static bool is_letter(char c)
{
	c = ascii_lower(c);
	return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_unreserved(char c)
{
	return is_letter(c) || is_digit(c) || (c && strchr("-._~", c));
}

static int hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool url_decode(struct str text, char *out, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < text.len; i++) {
		int c = (unsigned char)text.at[i];

		if (c == '%') {
			int high = i + 1 < text.len ? hex_value(text.at[i + 1]) : -1;
			int low = i + 2 < text.len ? hex_value(text.at[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = 16 * high + low;
			i += 2;
		}
		if (c < ' ' || c == 0x7f || len + 1 >= size)
			return false;
		out[len++] = (char)c;
	}
	out[len] = '\0';
	return true;
}

bool url_encode(struct str text, char *out, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];

		if (len + 4 > size)
			return false;
		if (is_unreserved(c))
			out[len++] = c;
		else
			len += (size_t)snprintf(out + len, 4, "%%%02X", (unsigned char)c);
	}
	out[len] = '\0';
	return true;
}

static const char *wrong(char error[URL_ERROR_MAX], const char *what)
{
	snprintf(error, URL_ERROR_MAX, "%s", what);
	return NULL;
}

/* Each of these takes its part off rest; NULL with error set when it is no good. */

static const char *take_scheme(struct str *rest, const char *default_scheme, struct url *url,
			       char error[URL_ERROR_MAX])
{
	const char *end = memmem(rest->at, rest->len, "://", 3);
	size_t len = end ? (size_t)(end - rest->at) : 0;

	if (!end && !default_scheme)
		return wrong(error, "has no scheme: write it like https://host");
	if (!end) {
		text_copy(url->scheme, sizeof(url->scheme), default_scheme);
		return rest->at;
	}
	if (len == 0 || len >= sizeof(url->scheme))
		return wrong(error, "has no scheme that is known here");
	for (size_t i = 0; i < len; i++) {
		char c = ascii_lower(rest->at[i]);

		if (!is_letter(c) && !(i > 0 && (is_digit(c) || strchr("+-.", c))))
			return wrong(error, "has a scheme with strange characters");
		url->scheme[i] = c;
	}
	*rest = (struct str){ end + 3, rest->len - len - 3 };
	return rest->at;
}

static const char *take_user(struct str *authority, struct url *url, char error[URL_ERROR_MAX])
{
	const char *at = memrchr(authority->at, '@', authority->len), *colon;
	struct str user, password = { 0 };

	if (!at)
		return authority->at;
	user = (struct str){ authority->at, (size_t)(at - authority->at) };
	colon = memchr(user.at, ':', user.len);
	if (colon) {
		password = (struct str){ colon + 1, (size_t)(at - colon - 1) };
		user.len = (size_t)(colon - user.at);
	}
	if (!url_decode(user, url->user, sizeof(url->user)) ||
	    !url_decode(password, url->password, sizeof(url->password)))
		return wrong(error, "has a user or password that is too long or not well escaped");
	*authority = (struct str){ at + 1, authority->len - (size_t)(at + 1 - authority->at) };
	return at;
}

static const char *take_port(struct str text, struct url *url, char error[URL_ERROR_MAX])
{
	unsigned long port = 0;

	for (size_t i = 0; i < text.len; i++)
		port = is_digit(text.at[i]) && port <= UINT16_MAX ?
		       port * 10 + (unsigned long)(text.at[i] - '0') : UINT16_MAX + 1UL;
	if (text.len == 0 || port == 0 || port > UINT16_MAX)
		return wrong(error, "has a port that is no number from 1 to 65535");
	url->port = (uint16_t)port;
	return text.at;
}

static const char *take_host(struct str authority, struct url *url, char error[URL_ERROR_MAX])
{
	struct str host = authority, port = { 0 };
	const char *colon;
	union addr addr;

	if (host.len > 0 && host.at[0] == '[') {
		const char *end = memchr(host.at, ']', host.len);

		if (!end)
			return wrong(error, "has a '[' without its ']'");
		port = (struct str){ end + 1, host.len - (size_t)(end + 1 - host.at) };
		host = (struct str){ host.at + 1, (size_t)(end - host.at - 1) };
		if (!addr_parse(host, &addr) || addr.sa.sa_family != AF_INET6)
			return wrong(error, "has no IPv6 address between its brackets");
	} else {
		colon = memchr(host.at, ':', host.len);
		if (colon) {
			port = (struct str){ colon, host.len - (size_t)(colon - host.at) };
			host.len = (size_t)(colon - host.at);
		}
		for (size_t i = 0; i < host.len; i++)
			if (!is_unreserved(host.at[i]))
				return wrong(error, "has a host with strange characters");
	}
	if (host.len >= sizeof(url->host))
		return wrong(error, "has a host that is too long");
	for (size_t i = 0; i < host.len; i++)
		url->host[i] = ascii_lower(host.at[i]);
	if (port.len > 0 && port.at[0] != ':')
		return wrong(error, "has something behind its ']'");
	if (port.len > 0)
		return take_port((struct str){ port.at + 1, port.len - 1 }, url, error);
	return authority.at;
}

int url_parse(struct str text, const char *default_scheme, struct url *url,
	      char error[URL_ERROR_MAX])
{
	struct url made = { 0 };
	struct str authority, path, query = { 0 };
	size_t len = 0;
	const char *mark;

	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] <= ' ' || text.at[i] > '~') {
			(void)wrong(error, "has a blank or another character that a URL cannot "
				    "have: escape it as %20 and the like");
			return -EINVAL;
		}
	}
	if (!take_scheme(&text, default_scheme, &made, error))
		return -EINVAL;
	while (len < text.len && !strchr("/?#", text.at[len]))
		len++;
	authority = (struct str){ text.at, len };
	path = (struct str){ text.at + len, text.len - len };
	mark = memchr(path.at, '#', path.len);
	if (mark)
		path.len = (size_t)(mark - path.at);
	mark = memchr(path.at, '?', path.len);
	if (mark) {
		query = (struct str){ mark + 1, path.len - (size_t)(mark + 1 - path.at) };
		path.len = (size_t)(mark - path.at);
	}
	if (path.len >= sizeof(made.path) || query.len >= sizeof(made.query)) {
		(void)wrong(error, "is too long");
		return -EINVAL;
	}
	if (!take_user(&authority, &made, error) || !take_host(authority, &made, error))
		return -EINVAL;
	memcpy(made.path, path.at, path.len);
	if (query.len > 0)
		memcpy(made.query, query.at, query.len);
	*url = made;
	return 0;
}

bool url_parameter(const struct url *url, const char *name, unsigned n, char *out, size_t size)
{
	const char *at = url->query;
	char key[URL_TEXT_MAX], value[URL_TEXT_MAX];

	while (*at) {
		size_t len = strcspn(at, "&");
		const char *equals = memchr(at, '=', len);
		size_t key_len = equals ? (size_t)(equals - at) : len;
		struct str raw = { at + key_len + (equals ? 1 : 0),
				   len - key_len - (equals ? 1 : 0) };

		if (url_decode((struct str){ at, key_len }, key, sizeof(key)) &&
		    str_equal_nocase(str_of(key), str_of(name)) && n-- == 0) {
			memcpy(value, raw.at, raw.len);
			for (size_t i = 0; i < raw.len; i++)
				value[i] = value[i] == '+' ? ' ' : value[i];
			return url_decode((struct str){ value, raw.len }, out, size);
		}
		at += len + (at[len] == '&');
	}
	return false;
}
