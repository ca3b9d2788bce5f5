/* web.h - requests over HTTP, and mails, by libcurl: as many at a time as are started, all on the
 * thread that calls web_wait() and web_run().
 *
 * libcurl never resolves a name: that is done here, by our own questions over our own sockets, and
 * its sockets are marked and of our user id (decisions.md 2, 13).  No proxy of the environment, no
 * redirect.  Over plain http nothing is sent to a public address (decisions.md 28). */
#ifndef DASHBOARD_WEB_H
#define DASHBOARD_WEB_H

#include "core/curl.h"
#include "core/egress.h"
#include "core/resolv_conf.h"
#include "core/resolve.h"
#include "dashboard/url.h"

enum {
	WEB_ADDRS_MAX = 8,
	WEB_ERROR_MAX = 256,
	WEB_BASE_MAX = 2048,
	WEB_REPLY_MAX = 256 << 10,      /* of a body; a longer one is an error */
};

struct web_target {                     /* a place to send to; its user's memory */
	char base[WEB_BASE_MAX];        /* "http://host:port/prefix", no slash at the end */
	char unix_path[108];            /* the socket's; "": none */
	char host[256];
	char host_shown[264];           /* "host:port" for the log */
	uint16_t port;
	bool plain;                     /* not TLS */
	bool absolute;                  /* an address, in addrs */
	unsigned addr_count;
	union addr addrs[WEB_ADDRS_MAX];
	uint64_t resolved_ms;           /* 0: not yet */
};

/* From url, whose scheme is http, https, smtp or smtps.  0, or -EINVAL with a clause in error: no
 * host, or plain http to a public address. */
int web_target_init(struct web_target *target, const struct url *url, char error[WEB_ERROR_MAX]);
/* From "http://host:port", "host:port" (plain http) or "unix:/path". */
int web_target_parse(struct web_target *target, const char *text, char error[WEB_ERROR_MAX]);
/* Plain http beyond this machine: to be warned of. */
bool web_target_is_exposed(const struct web_target *target);

/* Plain http to loopback, where whoever listens there first is taken for it. */
bool web_target_is_on_loopback(const struct web_target *target);

struct web_settings {
	struct egress egress;
	const struct upstream_sets *servers;    /* for names; they must stay */
	struct str hosts;                       /* a hosts file's text, looked into first */
};

struct web {
	struct web_settings settings;
	const struct curl *curl;
	CURLM *multi;
	int epoll_fd;                   /* questions for names */
	struct web_request *requests;   /* started */
};

/* 0, or -errno with one line in error: no libcurl. */
int web_init(struct web *web, const struct web_settings *settings, char error[WEB_ERROR_MAX]);
void web_finish(struct web *web);       /* started requests are forgotten */

struct web_reply {
	const char *failed;             /* NULL: there is a status; else why not, one line */
	long status;
	struct str body;                /* NUL-terminated */
	bool takes_gzip;                /* said by Accept-Encoding */
	bool is_ringfence;              /* said by Server */
	unsigned retry_after_s;         /* 0: not said */
};

struct web_request;
/* The reply is good during the call; the request may be started again from it. */
typedef void web_fn(struct web_request *request, const struct web_reply *reply);

struct web_mail {
	const char *from, *user, *password;     /* user "": no login */
	const char *const *to;                  /* closed by NULL */
	bool tls_needed;                        /* STARTTLS or not at all */
};

enum { WEB_HEADERS_MAX = 12 };

struct web_request {
	/* The caller's, to stay until done() */
	struct web_target *target;
	const char *path;               /* behind target->base, with its query; "" */
	bool post;
	const char *headers[WEB_HEADERS_MAX];   /* "Name: value", closed by NULL */
	struct str body;                /* of a POST, or the mail */
	const struct web_mail *mail;    /* NULL: HTTP */
	uint64_t timeout_ms;
	web_fn *done;
	void *context;

	/* web.c's */
	struct web *web;                /* NULL: not started */
	struct web_request *next;
	CURL *easy;
	struct curl_slist *header_list, *resolve_list, *to_list;
	struct resolve *resolves[2];
	size_t body_sent;
	struct web_reply reply;
	char *reply_text;
	size_t reply_cap;
	const char *failed;
	char said[CURL_ERROR_SIZE];
};

/* done() is called once, by web_run().  The request must not be started yet. */
void web_start(struct web *web, struct web_request *request);
bool web_started(const struct web_request *request);
void web_cancel(struct web_request *request);   /* done() is not called; twice is fine */

/* Sleep until something has happened, wake_fd is readable, or so long. */
void web_wait(struct web *web, int wake_fd, uint64_t ms);
void web_run(struct web *web);

#endif
