/* url.h - the parts of a URL as options have it: where events and alerts go.
 *
 * Read by ourselves, not by libcurl, which is loaded later and elsewhere: a bad one ends the start.
 * Strict where it matters for what is dialled; what is put together again from the parts is what
 * libcurl gets. */
#ifndef DASHBOARD_URL_H
#define DASHBOARD_URL_H

#include "core/addr.h"

enum { URL_TEXT_MAX = 1024, URL_ERROR_MAX = 256 };

struct url {
	char scheme[16];                /* lower case */
	char user[256], password[256];  /* percent-decoded */
	char host[256];                 /* lower case; an IPv6 address without its brackets */
	uint16_t port;                  /* 0: not given */
	char path[URL_TEXT_MAX];        /* as written, with its slash; "" when there is none */
	char query[URL_TEXT_MAX];       /* as written, without '?' */
};

/*
 * Parse scheme://[user[:password]@]host[:port][/path][?query]; default_scheme (may be NULL) is put
 * before a text without "://".  The host may be empty, anything of [A-Za-z0-9._~-], or an address.
 * 0, or -EINVAL with a clause in error that says what is wrong, like "has no scheme: write
 * http://host:port".
 */
int url_parse(struct str text, const char *default_scheme, struct url *url,
	      char error[URL_ERROR_MAX]);

/* %41 becomes A; false when it does not fit, or is no good escape, or would be a control
 * character. */
bool url_decode(struct str text, char *out, size_t size);
/* The other way: everything but letters, digits and -._~ is escaped.  Returns false when it does
 * not fit. */
bool url_encode(struct str text, char *out, size_t size);

/* The value of a parameter of the query, decoded ("+" is a blank): the n-th, from 0 on.  name is
 * compared without case.  False when there is none, or it does not fit. */
bool url_parameter(const struct url *url, const char *name, unsigned n, char *out, size_t size);

#endif
