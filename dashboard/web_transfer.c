/* web_transfer.c - one transfer as libcurl is told of it, and what comes back. */
#include "dashboard/web_transfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static curl_socket_t on_socket(void *context, curlsocktype purpose, struct curl_sockaddr *addr)
{
	struct web *web = context;
	int fd;

	(void)purpose;
	fd = egress_socket(&web->settings.egress, addr->family, addr->socktype, addr->protocol);
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
	struct web_request *request = context;
	size_t len = size * count, need = request->reply.body.len + len + 1;

	if (need > WEB_REPLY_MAX) {
		request->failed = "the reply is too long";
		return 0;                       /* ends the transfer */
	}
	if (need > request->reply_cap) {
		size_t cap = need < 4096 ? 4096 : 2 * need;
		char *grown = realloc(request->reply_text, cap);

		if (!grown)
			return 0;
		request->reply_text = grown;
		request->reply_cap = cap;
	}
	memcpy(request->reply_text + request->reply.body.len, data, len);
	request->reply.body.len += len;
	request->reply_text[request->reply.body.len] = '\0';
	request->reply.body.at = request->reply_text;
	return len;
}

/* The value of a header line, when it is that header. */
static bool header_is(struct str line, const char *name, struct str *value)
{
	size_t len = strlen(name);

	if (line.len < len + 1 || strncasecmp(line.at, name, len) != 0 || line.at[len] != ':')
		return false;
	*value = (struct str){ line.at + len + 1, line.len - len - 1 };
	return true;
}

static bool has_word(struct str text, const char *word)
{
	size_t len = strlen(word);

	for (size_t i = 0; i + len <= text.len; i++)
		if (strncasecmp(text.at + i, word, len) == 0)
			return true;
	return false;
}

static size_t on_header(char *data, size_t size, size_t count, void *context)
{
	struct web_request *request = context;
	struct str line = { data, size * count }, value;

	if (header_is(line, "accept-encoding", &value))
		request->reply.takes_gzip |= has_word(value, "gzip");
	else if (header_is(line, "server", &value))
		request->reply.is_ringfence |= has_word(value, "ringfence");
	else if (header_is(line, "retry-after", &value))
		for (size_t i = 0; i < value.len && request->reply.retry_after_s < 86400; i++)
			if (value.at[i] >= '0' && value.at[i] <= '9')
				request->reply.retry_after_s = 10 * request->reply.retry_after_s +
							       (unsigned)(value.at[i] - '0');
	return line.len;
}

/* A mail is read from us. */
static size_t on_read(char *out, size_t size, size_t count, void *context)
{
	struct web_request *request = context;
	size_t left = request->body.len - request->body_sent;
	size_t len = size * count < left ? size * count : left;

	memcpy(out, request->body.at + request->body_sent, len);
	request->body_sent += len;
	return len;
}

static bool add_line(const struct curl *curl, struct curl_slist **list, const char *line)
{
	struct curl_slist *longer = curl->slist_append(*list, line);

	if (longer)
		*list = longer;
	return longer != NULL;
}

/* "host:port:1.2.3.4,[2001:db8::1]": libcurl has no question left. */
static bool set_route(struct web_request *request)
{
	const struct web_target *target = request->target;
	char route[sizeof(target->host) + 16 + WEB_ADDRS_MAX * (ADDR_TEXT_MAX + 3)];
	char ip[ADDR_TEXT_MAX];
	size_t len;

	len = (size_t)snprintf(route, sizeof(route), "%s:%u:", target->host, target->port);
	for (unsigned i = 0; i < target->addr_count; i++) {
		bool v6 = target->addrs[i].sa.sa_family == AF_INET6;

		len += (size_t)snprintf(route + len, sizeof(route) - len, "%s%s%s%s",
					i > 0 ? "," : "", v6 ? "[" : "",
					addr_format_ip(&target->addrs[i], ip), v6 ? "]" : "");
	}
	return target->absolute || (add_line(request->web->curl, &request->resolve_list, route) &&
	       request->web->curl->easy_setopt(request->easy, CURLOPT_RESOLVE,
					       request->resolve_list) == CURLE_OK);
}

static bool set_authorities(const struct web_request *request)
{
	const char *file = getenv("CURL_CA_BUNDLE"), *folder = getenv("SSL_CERT_DIR");
	__typeof__(request->web->curl->easy_setopt) set = request->web->curl->easy_setopt;

	if (!file || !file[0])
		file = getenv("SSL_CERT_FILE");
	return (!file || !file[0] || set(request->easy, CURLOPT_CAINFO, file) == CURLE_OK) &&
	       (!folder || !folder[0] || set(request->easy, CURLOPT_CAPATH, folder) == CURLE_OK);
}

static bool set_http(struct web_request *request)
{
	const struct curl *curl = request->web->curl;
	__typeof__(curl->easy_setopt) set = curl->easy_setopt;
	CURL *easy = request->easy;

	/* No "Expect: 100-continue": small servers let it time out. */
	if (!add_line(curl, &request->header_list, "Expect:"))
		return false;
	for (unsigned i = 0; i < WEB_HEADERS_MAX && request->headers[i]; i++)
		if (!add_line(curl, &request->header_list, request->headers[i]))
			return false;
	if (request->post &&
	    (set(easy, CURLOPT_POST, 1L) != CURLE_OK ||
	     set(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len) != CURLE_OK ||
	     set(easy, CURLOPT_POSTFIELDS, request->body.at ? request->body.at : "") != CURLE_OK))
		return false;
	return set(easy, CURLOPT_HTTPHEADER, request->header_list) == CURLE_OK &&
	       (!request->target->unix_path[0] ||
		set(easy, CURLOPT_UNIX_SOCKET_PATH, request->target->unix_path) == CURLE_OK);
}

static bool set_mail(struct web_request *request)
{
	const struct curl *curl = request->web->curl;
	const struct web_mail *mail = request->mail;
	__typeof__(curl->easy_setopt) set = curl->easy_setopt;
	CURL *easy = request->easy;

	for (unsigned i = 0; mail->to[i]; i++)
		if (!add_line(curl, &request->to_list, mail->to[i]))
			return false;
	return set(easy, CURLOPT_MAIL_FROM, mail->from) == CURLE_OK &&
	       set(easy, CURLOPT_MAIL_RCPT, request->to_list) == CURLE_OK &&
	       set(easy, CURLOPT_UPLOAD, 1L) == CURLE_OK &&
	       set(easy, CURLOPT_READFUNCTION, on_read) == CURLE_OK &&
	       set(easy, CURLOPT_READDATA, request) == CURLE_OK &&
	       set(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->body.len) == CURLE_OK &&
	       set(easy, CURLOPT_USE_SSL, mail->tls_needed ? (long)CURLUSESSL_ALL :
							     (long)CURLUSESSL_TRY) == CURLE_OK &&
	       (!mail->user[0] || (set(easy, CURLOPT_USERNAME, mail->user) == CURLE_OK &&
				   set(easy, CURLOPT_PASSWORD, mail->password) == CURLE_OK));
}

static bool set_all(struct web_request *request, const char *url)
{
	__typeof__(request->web->curl->easy_setopt) set = request->web->curl->easy_setopt;
	CURL *easy = request->easy;
	long timeout_ms = (long)request->timeout_ms;

	return set(easy, CURLOPT_URL, url) == CURLE_OK &&
	       set(easy, CURLOPT_PROTOCOLS_STR, "http,https,smtp,smtps") == CURLE_OK &&
	       set(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
	       set(easy, CURLOPT_PROXY, "") == CURLE_OK &&
	       set(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK &&
	       set(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       set(easy, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
	       set(easy, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
	       set(easy, CURLOPT_CONNECTTIMEOUT_MS,
		   timeout_ms < 5000 ? timeout_ms : 5000L) == CURLE_OK &&
	       set(easy, CURLOPT_TIMEOUT_MS, timeout_ms) == CURLE_OK &&
	       set(easy, CURLOPT_USERAGENT, "ringfence/" RINGFENCE_VERSION) == CURLE_OK &&
	       set(easy, CURLOPT_ERRORBUFFER, request->said) == CURLE_OK &&
	       set(easy, CURLOPT_PRIVATE, request) == CURLE_OK &&
	       set(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket) == CURLE_OK &&
	       set(easy, CURLOPT_OPENSOCKETDATA, request->web) == CURLE_OK &&
	       set(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
	       set(easy, CURLOPT_WRITEDATA, request) == CURLE_OK &&
	       set(easy, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
	       set(easy, CURLOPT_HEADERDATA, request) == CURLE_OK;
}

bool web_transfer_begin(struct web_request *request)
{
	struct web *web = request->web;
	char url[WEB_BASE_MAX + 1024];
	int len = snprintf(url, sizeof(url), "%s%s", request->target->base, request->path);

	request->easy = web->curl->easy_init();
	if (len < (int)sizeof(url) && request->easy && set_all(request, url) &&
	    set_authorities(request) && (request->target->unix_path[0] || set_route(request)) &&
	    (request->mail ? set_mail(request) : set_http(request)) &&
	    web->curl->multi_add_handle(web->multi, request->easy) == CURLM_OK)
		return true;
	if (request->easy)
		web->curl->easy_cleanup(request->easy);
	request->easy = NULL;
	return false;
}
