/* probe.c - one question over HTTP or SMTP through our own port, by libcurl. */
#include "health/probe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/addr.h"

enum { LONGEST_MS = 300 * 1000 };

static const struct kind {
	const char *text, *option, *wants;
	const char *protocols;
} kinds[] = {
	[PROBE_HTTP] = { "http", "HTTP_HEALTHCHECK_URL", "http:// or https://", "http,https" },
	[PROBE_SMTP] = { "smtp", "SMTP_HEALTHCHECK_URL", "smtp://", "smtp" },
};

const char *probe_kind_text(enum probe_kind kind)
{
	return kinds[kind].text;
}

/* The URL */

/* Write text to out at *len; false when it does not fit. */
static bool append(char out[PROBE_URL_MAX], size_t *len, const char *text, size_t text_len)
{
	if (text_len >= PROBE_URL_MAX - *len)
		return false;
	memcpy(out + *len, text, text_len);
	*len += text_len;
	out[*len] = '\0';
	return true;
}

/* In a URL an IPv6 address stands in brackets. */
static bool append_target(char out[PROBE_URL_MAX], size_t *len, const char *target)
{
	union addr addr;
	bool bare = addr_parse(str_of(target), &addr) && addr.sa.sa_family == AF_INET6;

	return append(out, len, "[", bare) && append(out, len, target, strlen(target)) &&
	       append(out, len, "]", bare);
}

static bool substitute(const struct probe_plan *plan, char out[PROBE_URL_MAX])
{
	static const char name[] = "$TARGET";
	const char *at = plan->url, *found;
	size_t len = 0;

	out[0] = '\0';
	while ((found = strstr(at, name))) {
		if (!append(out, &len, at, (size_t)(found - at)) ||
		    !append_target(out, &len, plan->target))
			return false;
		at = found + sizeof(name) - 1;
	}
	return append(out, &len, at, strlen(at));
}

static uint16_t our_port(const struct probe_plan *plan, unsigned long port)
{
	for (unsigned i = 0; i < plan->port_count; i++)
		if (plan->ports[i].listen == port)
			return plan->ports[i].listen;
	for (unsigned i = 0; i < plan->port_count; i++)
		if (plan->ports[i].dial == port)
			return plan->ports[i].listen;
	return plan->ports[0].listen;
}

/* Its parts by libcurl, so that what we judge is what it will do. */
static const char *url_rewrite(const struct curl *curl, CURLU *parts, const struct probe_plan *plan,
			       char url[PROBE_URL_MAX], uint16_t *port)
{
	char *scheme = NULL, *text = NULL, *whole = NULL, number[8];
	const char *wrong = NULL;
	unsigned long wanted = 0;

	if (curl->url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK ||
	    curl->url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    curl->url_get(parts, CURLUPART_PORT, &text, CURLU_DEFAULT_PORT) != CURLUE_OK)
		wrong = "is no URL";
	else if (strcmp(scheme, "smtp") != 0 && strcmp(scheme, "http") != 0 &&
		 strcmp(scheme, "https") != 0)
		wrong = "has another scheme";
	else if ((strcmp(scheme, "smtp") == 0) != (plan->kind == PROBE_SMTP))
		wrong = "has another scheme";
	else
		wanted = strtoul(text, NULL, 10);
	if (!wrong)
		*port = our_port(plan, wanted);
	if (!wrong && *port != wanted) {
		snprintf(number, sizeof(number), "%u", *port);
		if (curl->url_set(parts, CURLUPART_PORT, number, 0) != CURLUE_OK ||
		    curl->url_get(parts, CURLUPART_URL, &whole, 0) != CURLUE_OK ||
		    strlen(whole) >= PROBE_URL_MAX)
			wrong = "cannot get another port";
		else
			text_copy(url, PROBE_URL_MAX, whole);
	}
	curl->free(whole);
	curl->free(text);
	curl->free(scheme);
	return wrong;
}

int probe_url(const struct curl *curl, const struct probe_plan *plan, char url[PROBE_URL_MAX],
	      uint16_t *port, char error[PROBE_ERROR_MAX])
{
	const struct kind *kind = &kinds[plan->kind];
	const char *wrong = "is too long";
	CURLU *parts;

	if (substitute(plan, url)) {
		parts = curl->url();
		if (!parts)
			return -ENOMEM;
		wrong = url_rewrite(curl, parts, plan, url, port);
		curl->url_cleanup(parts);
	}
	if (!wrong)
		return 0;
	snprintf(error, PROBE_ERROR_MAX, "%s: \"%.200s\" %s: write %shost/path, $TARGET for the "
		 "host", kind->option, plan->url, wrong, kind->wants);
	return -EINVAL;
}

/* The transfer */

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
	struct probe *probe = context;

	if (probe->body)
		(void)!fwrite(data, size, count, probe->body);  /* a closed stdout is no failure */
	return size * count;
}

static size_t on_answer_line(char *data, size_t size, size_t count, void *context)
{
	struct probe *probe = context;

	(void)data;
	probe->answered = true;
	return size * count;
}

/* A target that never answered may not notice our end: reset, so that the connection does not stay
 * half closed in the forward, one more with each check. */
static int on_close(void *context, curl_socket_t fd)
{
	struct probe *probe = context;
	struct linger linger = { .l_onoff = 1 };

	if (!probe->answered && probe->on_unanswered)
		probe->on_unanswered(probe);
	if (!probe->answered)
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	return close(fd);
}

static bool set_route(struct probe *probe)
{
	char route[64];

	/* Any host and port of the URL; the one we connect to is an address: nothing is asked. */
	snprintf(route, sizeof(route), "::" PROBE_ADDRESS ":%u", probe->port);
	probe->connect_to = probe->curl->slist_append(NULL, route);
	return probe->connect_to &&
	       probe->curl->easy_setopt(probe->easy, CURLOPT_CONNECT_TO, probe->connect_to) ==
	       CURLE_OK;
}

/* curl's own variable, then OpenSSL's: libcurl itself looks at neither. */
static bool set_authorities(struct probe *probe)
{
	const char *file = getenv("CURL_CA_BUNDLE"), *folder = getenv("SSL_CERT_DIR");

	if (!file || !file[0])
		file = getenv("SSL_CERT_FILE");
	if (file && file[0] &&
	    probe->curl->easy_setopt(probe->easy, CURLOPT_CAINFO, file) != CURLE_OK)
		return false;
	return !folder || !folder[0] ||
	       probe->curl->easy_setopt(probe->easy, CURLOPT_CAPATH, folder) == CURLE_OK;
}

static bool set_all(struct probe *probe, const struct probe_plan *plan)
{
	__typeof__(probe->curl->easy_setopt) set = probe->curl->easy_setopt;
	CURL *easy = probe->easy;
	long timeout_ms = (long)(plan->timeout_ms ? plan->timeout_ms : LONGEST_MS);

	return set(easy, CURLOPT_URL, probe->url) == CURLE_OK &&
	       set(easy, CURLOPT_PROTOCOLS_STR, kinds[plan->kind].protocols) == CURLE_OK &&
	       set(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
	       set(easy, CURLOPT_PROXY, "") == CURLE_OK &&
	       set(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK &&
	       set(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       set(easy, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
	       set(easy, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
	       set(easy, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK &&
	       set(easy, CURLOPT_FORBID_REUSE, 1L) == CURLE_OK &&
	       set(easy, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms) == CURLE_OK &&
	       set(easy, CURLOPT_TIMEOUT_MS, timeout_ms) == CURLE_OK &&
	       set(easy, CURLOPT_USERAGENT, "ringfence/" RINGFENCE_VERSION) == CURLE_OK &&
	       set(easy, CURLOPT_ERRORBUFFER, probe->said) == CURLE_OK &&
	       set(easy, CURLOPT_PRIVATE, probe) == CURLE_OK &&
	       set(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
	       set(easy, CURLOPT_WRITEDATA, probe) == CURLE_OK &&
	       set(easy, CURLOPT_HEADERFUNCTION, on_answer_line) == CURLE_OK &&
	       set(easy, CURLOPT_HEADERDATA, probe) == CURLE_OK &&
	       set(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close) == CURLE_OK &&
	       set(easy, CURLOPT_CLOSESOCKETDATA, probe) == CURLE_OK &&
	       (plan->kind != PROBE_SMTP ||
		set(easy, CURLOPT_CUSTOMREQUEST, plan->command) == CURLE_OK);
}

int probe_open(struct probe *probe, const struct curl *curl, const struct probe_plan *plan,
	       FILE *body, char error[PROBE_ERROR_MAX])
{
	int err;

	*probe = (struct probe){ .curl = curl, .body = body };
	err = probe_url(curl, plan, probe->url, &probe->port, error);
	if (err < 0)
		return err;
	probe->easy = curl->easy_init();
	if (probe->easy && set_all(probe, plan) && set_route(probe) &&
	    set_authorities(probe))
		return 0;
	probe_close(probe);
	snprintf(error, PROBE_ERROR_MAX, "libcurl cannot make the %s probe: it is too old, or "
		 "built without that protocol", kinds[plan->kind].text);
	return -ENOTSUP;
}

void probe_close(struct probe *probe)
{
	if (probe->easy)
		probe->curl->easy_cleanup(probe->easy);
	if (probe->connect_to)
		probe->curl->slist_free_all(probe->connect_to);
	probe->easy = NULL;
	probe->connect_to = NULL;
}

const char *probe_failure(const struct probe *probe, CURLcode code, char out[PROBE_ERROR_MAX])
{
	const char *said = probe->said[0] ? probe->said : probe->curl->easy_strerror(code);

	snprintf(out, PROBE_ERROR_MAX, "(%d, '%s')", (int)code, said);
	for (char *c = out; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	return out;
}
