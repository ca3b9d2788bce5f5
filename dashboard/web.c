/* web.c - requests, from their start to their end: names first, then the transfer. */
#include "dashboard/web.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "core/hosts.h"
#include "dashboard/web_transfer.h"
#include "proto/hostname.h"

enum { FRESH_MS = 60 * 1000 };          /* addresses of a name are kept for so long */

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Names */

/* What may not be reached in the clear is left out. */
static bool may_dial(const struct web_target *target, const union addr *addr)
{
	return !target->plain || addr_classify(addr) != ADDR_GLOBAL;
}

static void take_addrs(struct web_target *target, const union addr *addrs, unsigned count,
		       bool *refused)
{
	for (unsigned i = 0; i < count; i++) {
		if (!may_dial(target, &addrs[i]))
			*refused = true;
		else if (target->addr_count < WEB_ADDRS_MAX)
			target->addrs[target->addr_count++] = addrs[i];
	}
}

static const char plain_refused[] = "the name leads to a public address, where plain http shows "
				    "everything to anybody: use https";

static void fail(struct web_request *request, const char *why)
{
	request->failed = why;
}

static void launch(struct web_request *request)
{
	if (!web_transfer_begin(request))
		fail(request, "libcurl cannot do that: it is too old, or was built without it");
}

/* Both families have been answered. */
static void on_resolved(struct web_request *request)
{
	struct web_target *target = request->target;

	if (target->addr_count == 0)
		return fail(request, request->failed ? request->failed : "the name has no address");
	request->failed = NULL;
	target->resolved_ms = now_ms();
	launch(request);
}

static void on_answer(struct web_request *request, unsigned family,
		      const struct resolve_answer *answer)
{
	bool refused = false;

	request->resolves[family] = NULL;
	take_addrs(request->target, answer->addrs, answer->count, &refused);
	if (refused)
		request->failed = plain_refused;
	else if (answer->failed && !request->failed)
		request->failed = "no resolver answered for the name";
	if (!request->resolves[0] && !request->resolves[1])
		on_resolved(request);
}

static void on_v4(void *context, const struct resolve_answer *answer)
{
	on_answer(context, 0, answer);
}

static void on_v6(void *context, const struct resolve_answer *answer)
{
	on_answer(context, 1, answer);
}

static int ask(struct web_request *request, struct str name, unsigned family)
{
	struct web *web = request->web;
	const struct upstream_sets *sets = web->settings.servers;
	const struct upstreams *servers = memchr(name.at, '.', name.len) ? &sets->dotted :
									   &sets->dotless;
	struct epoll_event event = { .events = EPOLLIN };
	int err = resolve_open(&request->resolves[family], servers, name,
			       family ? AF_INET6 : AF_INET, &web->settings.egress,
			       family ? on_v6 : on_v4, request);

	if (err == 0 && epoll_ctl(web->epoll_fd, EPOLL_CTL_ADD,
				  resolve_fd(request->resolves[family]), &event) < 0)
		err = -errno;
	return err;
}

static unsigned look_up_here(const struct web *web, struct str name, union addr *addrs)
{
	if (str_equal(name, STR("localhost")))          /* RFC 6761 6.3 */
		return addr_parse(STR("127.0.0.1"), &addrs[0]) &&
		       addr_parse(STR("::1"), &addrs[1]) ? 2 : 0;
	return hosts_parse(web->settings.hosts, name, addrs, WEB_ADDRS_MAX);
}

static void find_addrs(struct web_request *request)
{
	struct web_target *target = request->target;
	union addr addrs[WEB_ADDRS_MAX];
	char name[HOSTNAME_MAX + 1];
	bool refused = false;
	size_t len;

	if (target->unix_path[0] || target->absolute ||
	    (target->resolved_ms != 0 && now_ms() - target->resolved_ms < FRESH_MS))
		return launch(request);
	target->addr_count = 0;
	len = hostname_normalise(str_of(target->host), name);
	if (len == 0)
		return fail(request, "the host is no name that can be looked up");
	take_addrs(target, addrs, look_up_here(request->web, (struct str){ name, len }, addrs),
		   &refused);
	if (target->addr_count > 0)
		return launch(request);
	if (refused)
		return fail(request, plain_refused);
	/* A name being asked for by another request is simply asked for twice. */
	if (ask(request, (struct str){ name, len }, 0) < 0 ||
	    ask(request, (struct str){ name, len }, 1) < 0)
		fail(request, "the name cannot be asked for: no descriptor or memory left");
}

/* Requests */

int web_init(struct web *web, const struct web_settings *settings, char error[WEB_ERROR_MAX])
{
	const char *why = "libcurl cannot be used";

	*web = (struct web){ .settings = *settings, .epoll_fd = -1 };
	web->curl = curl_load(&why);
	web->multi = web->curl ? web->curl->multi_init() : NULL;
	web->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (web->multi && web->epoll_fd >= 0)
		return 0;
	snprintf(error, WEB_ERROR_MAX, "%s", why);
	web_finish(web);
	return -ENOTSUP;
}

void web_finish(struct web *web)
{
	while (web->requests)
		web_cancel(web->requests);
	if (web->multi)
		(void)web->curl->multi_cleanup(web->multi);
	if (web->epoll_fd >= 0)
		close(web->epoll_fd);
	web->multi = NULL;
	web->epoll_fd = -1;
}

void web_start(struct web *web, struct web_request *request)
{
	assert(!request->web);
	request->web = web;
	request->next = web->requests;
	web->requests = request;
	request->reply = (struct web_reply){ .body = { "", 0 } };
	request->failed = NULL;
	request->said[0] = '\0';
	request->body_sent = 0;
	find_addrs(request);
}

bool web_started(const struct web_request *request)
{
	return request->web != NULL;
}

/* What web_start() took, but for the reply's text. */
static void unlink_request(struct web_request *request)
{
	struct web *web = request->web;
	struct web_request **link = &web->requests;

	while (*link != request)
		link = &(*link)->next;
	*link = request->next;
	for (unsigned i = 0; i < ARRAY_LEN(request->resolves); i++) {
		resolve_close(request->resolves[i]);
		request->resolves[i] = NULL;
	}
	if (request->easy) {
		(void)web->curl->multi_remove_handle(web->multi, request->easy);
		web->curl->easy_cleanup(request->easy);
	}
	web->curl->slist_free_all(request->header_list);
	web->curl->slist_free_all(request->resolve_list);
	web->curl->slist_free_all(request->to_list);
	request->easy = NULL;
	request->header_list = request->resolve_list = request->to_list = NULL;
	request->web = NULL;
}

void web_cancel(struct web_request *request)
{
	if (!request->web)
		return;
	unlink_request(request);
	free(request->reply_text);
	request->reply_text = NULL;
	request->reply_cap = 0;
}

static void end(struct web_request *request, const char *failed)
{
	struct web_reply reply = request->reply;
	char *text = request->reply_text, why[WEB_ERROR_MAX];

	if (failed) {
		text_copy(why, sizeof(why), failed);
		for (char *c = why; *c; c++)
			if (*c < ' ' || *c > '~')
				*c = '?';
		reply.failed = why;
		request->target->resolved_ms = 0;       /* perhaps it is elsewhere by now */
	}
	request->reply_text = NULL;
	request->reply_cap = 0;
	unlink_request(request);
	request->done(request, &reply);
	free(text);
}

static void on_transfer_ended(struct web *web, CURL *easy, CURLcode code)
{
	struct web_request *request = NULL;

	(void)web->curl->easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&request);
	(void)web->curl->easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &request->reply.status);
	if (code == CURLE_OK)
		end(request, NULL);
	else if (request->failed)
		end(request, request->failed);
	else
		end(request, request->said[0] ? request->said : web->curl->easy_strerror(code));
}

/* One that has failed before there was a transfer. */
static struct web_request *failed_one(const struct web *web)
{
	for (struct web_request *request = web->requests; request; request = request->next)
		if (request->failed && !request->easy && !request->resolves[0] &&
		    !request->resolves[1])
			return request;
	return NULL;
}

void web_run(struct web *web)
{
	struct web_request *request;
	CURLMsg *message;
	int running, left;

	for (request = web->requests; request; request = request->next)
		for (unsigned i = 0; i < ARRAY_LEN(request->resolves); i++)
			if (request->resolves[i])
				resolve_run(request->resolves[i]);
	(void)web->curl->multi_perform(web->multi, &running);
	while ((message = web->curl->multi_info_read(web->multi, &left)))
		if (message->msg == CURLMSG_DONE)
			on_transfer_ended(web, message->easy_handle, message->data.result);
	while ((request = failed_one(web)))
		end(request, request->failed);
}

void web_wait(struct web *web, int wake_fd, uint64_t ms)
{
	struct curl_waitfd fds[] = {
		{ .fd = wake_fd, .events = CURL_WAIT_POLLIN },
		{ .fd = web->epoll_fd, .events = CURL_WAIT_POLLIN },
	};

	if (failed_one(web))
		ms = 0;
	(void)web->curl->multi_poll(web->multi, fds, ARRAY_LEN(fds), (int)(ms < 60000 ? ms : 60000),
				    NULL);
}
