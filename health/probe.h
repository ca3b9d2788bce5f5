/* probe.h - one question over HTTP or SMTP through our own port, by libcurl.
 *
 * The connection goes to 127.0.0.1, whatever the URL's host is: that is never resolved, and
 * only what TLS and the Host header need it for.  No proxy of the environment, no redirect, no
 * other protocol.  As with docker-whitelist any HTTP status is healthy, and 4xx and 5xx of SMTP are
 * not. */
#ifndef HEALTH_PROBE_H
#define HEALTH_PROBE_H

#include <stdio.h>

#include "core/curl.h"
#include "health/ports.h"

enum probe_kind { PROBE_HTTP, PROBE_SMTP, PROBE_KINDS };

enum { PROBE_URL_MAX = 2048, PROBE_ERROR_MAX = 512 };

struct probe_plan {                     /* the options' texts, borrowed */
	enum probe_kind kind;
	const char *url;                /* $TARGET stands for target */
	const char *command;            /* SMTP */
	uint64_t timeout_ms;            /* to connect, and for all of it; 0: five minutes */
	const char *target;
	const struct health_port *ports; /* at least one */
	unsigned port_count;
};

#define PROBE_ADDRESS "127.0.0.1"       /* where we listen in every mode */

const char *probe_kind_text(enum probe_kind kind);      /* "http", "smtp" */

/*
 * What is asked, and at which of our ports: the URL's, or its scheme's.  When we do not listen
 * there, the port of ours that leads to it (8443:443), otherwise the first of all, and the URL gets
 * that port.  0, or -EINVAL with one line in error that names the option.
 */
int probe_url(const struct curl *curl, const struct probe_plan *plan, char url[PROBE_URL_MAX],
	      uint16_t *port, char error[PROBE_ERROR_MAX]);

struct probe {
	const struct curl *curl;
	CURL *easy;
	struct curl_slist *connect_to;
	FILE *body;                     /* NULL: thrown away */
	bool answered;                  /* a line of the answer came */
	/* May be set: called before the end of a connection that gave no answer. */
	void (*on_unanswered)(struct probe *probe);
	void *context;                  /* the caller's */
	char url[PROBE_URL_MAX];
	uint16_t port;                  /* ours */
	char said[CURL_ERROR_SIZE];
};

/* Ready to be run: by easy_perform(), or within a multi handle.  The probe must not move.
 * 0, or -errno with one line in error. */
int probe_open(struct probe *probe, const struct curl *curl, const struct probe_plan *plan,
	       FILE *body, char error[PROBE_ERROR_MAX]);
void probe_close(struct probe *probe);                  /* twice is fine */

/* "(52, 'Empty reply from server')"; returns out. */
const char *probe_failure(const struct probe *probe, CURLcode code, char out[PROBE_ERROR_MAX]);

#endif
