/* notify.c - alerts on their way: each service has a short queue and one request at a time. */
#include "dashboard/notify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/log.h"

enum {
	PENDING_MAX = 32,               /* alerts waiting for one service */
	ALERTS_BURST = 30,
	ALERTS_EVERY_MS = 2000,
	DIGEST_BACKOFFS = 10,
	TIMEOUT_MS = 10 * 1000,         /* the seed's */
	TELL_EVERY_MS = 60 * 1000,
};

struct sender {                         /* to one service */
	struct notify *notify;
	const struct notify_service *service;
	struct web_target target;
	struct web_request request;
	struct web_mail mail;
	const char *to[NOTIFY_TO_MAX + 1];
	struct alert pending[PENDING_MAX];      /* a ring */
	unsigned first, count;
	uint64_t told_ms, failures;     /* since it was told */
	char title_header[ALERT_TITLE_MAX + 16], type_header[128];
	char body[NOTIFY_BODY_MAX];
};

struct notify {
	struct notify_settings settings;
	struct web *web;
	struct notify_keys *keys;
	struct notify_digest digest;
	uint64_t now_ms;
	uint64_t tokens_ms;             /* time saved up for alerts */
	uint64_t tokens_at_ms;
	bool hurrying;
	unsigned sender_count;
	struct sender senders[];
};

int notify_open(struct notify **out, struct web *web, const struct notify_settings *settings)
{
	struct notify *notify = calloc(1, sizeof(*notify) + settings->service_count *
				       sizeof(struct sender));

	if (!notify || !(notify->keys = notify_keys_make())) {
		free(notify);
		return -ENOMEM;
	}
	notify->settings = *settings;
	notify->web = web;
	notify->tokens_ms = (uint64_t)ALERTS_BURST * ALERTS_EVERY_MS;
	notify->sender_count = settings->service_count;
	for (unsigned i = 0; i < settings->service_count; i++) {
		struct sender *sender = &notify->senders[i];

		sender->notify = notify;
		sender->service = &settings->services[i];
		sender->target = sender->service->target;
	}
	*out = notify;
	return 0;
}

void notify_close(struct notify *notify)
{
	if (!notify)
		return;
	for (unsigned i = 0; i < notify->sender_count; i++)
		web_cancel(&notify->senders[i].request);
	free(notify->keys);
	free(notify);
}

/* May one more alert be sent now? */
static bool take_token(struct notify *notify, uint64_t now_ms)
{
	const uint64_t most = (uint64_t)ALERTS_BURST * ALERTS_EVERY_MS;

	if (notify->tokens_at_ms != 0)
		notify->tokens_ms += now_ms - notify->tokens_at_ms;
	notify->tokens_at_ms = now_ms;
	if (notify->tokens_ms > most)
		notify->tokens_ms = most;
	if (notify->tokens_ms < ALERTS_EVERY_MS)
		return false;
	notify->tokens_ms -= ALERTS_EVERY_MS;
	return true;
}

/* To every service that has room; false when one had none. */
static bool enqueue(struct notify *notify, const struct alert *alert)
{
	bool all = true;

	for (unsigned i = 0; i < notify->sender_count; i++) {
		struct sender *sender = &notify->senders[i];

		if (sender->count == PENDING_MAX) {
			all = false;
			continue;
		}
		sender->pending[(sender->first + sender->count++) % PENDING_MAX] = *alert;
	}
	return all;
}

void notify_event(struct notify *notify, const struct event *event, uint64_t now_ms)
{
	struct alert alert;
	char key[NOTIFY_KEY_MAX], name[HOSTNAME_MAX + 1] = "";

	if (!notify_text(event, notify->settings.hostname, &alert, key))
		return;
	memcpy(name, event->name, event->name_len);
	if (notify_ignores(notify->settings.ignore, name, &event->dst,
			   event_component(event->kind)))
		return;
	if (!notify_keys_take(notify->keys, key, now_ms, notify->settings.backoff_ms) ||
	    !take_token(notify, now_ms) || !enqueue(notify, &alert))
		notify_digest_add(&notify->digest, name[0] ? name : key, now_ms);
}

/* Sending */

static void tell(struct sender *sender, const char *event, const char *why)
{
	uint64_t now_ms = sender->notify->now_ms;

	sender->failures++;
	if (sender->told_ms != 0 && now_ms - sender->told_ms < TELL_EVERY_MS)
		return;
	log_warn(event, log_str("err", why),
		 log_str("service", notify_kind_text(sender->service)),
		 log_str("host", sender->target.host_shown), log_uint("count", sender->failures));
	sender->told_ms = now_ms;
	sender->failures = 0;
}

static void on_reply(struct web_request *request, const struct web_reply *reply)
{
	struct sender *sender = request->context;
	char status[32];

	snprintf(status, sizeof(status), "status %ld", reply->status);
	if (reply->failed)
		tell(sender, "notification.post_failed", reply->failed);
	else if (reply->status < 200 || reply->status >= 300)
		tell(sender, "notification.rejected", status);
}

static void set_headers(struct sender *sender, const struct alert *alert)
{
	struct web_request *request = &sender->request;
	const char *type = notify_content_type(sender->service);
	unsigned count = 0;

	if (type) {
		snprintf(sender->type_header, sizeof(sender->type_header), "Content-Type: %s",
			 type);
		request->headers[count++] = sender->type_header;
	}
	if (notify_title_header(sender->service, alert, sender->title_header))
		request->headers[count++] = sender->title_header;
	for (unsigned i = 0; i < NOTIFY_HEADERS_MAX && sender->service->headers[i][0]; i++)
		request->headers[count++] = sender->service->headers[i];
	request->headers[count] = NULL;
}

static void set_mail(struct sender *sender)
{
	const struct notify_service *service = sender->service;

	for (unsigned i = 0; i < NOTIFY_TO_MAX && service->to[i][0]; i++)
		sender->to[i] = service->to[i];
	sender->mail = (struct web_mail){
		.from = service->from, .user = service->user, .password = service->password,
		.to = sender->to, .tls_needed = service->tls_needed,
	};
	sender->request.mail = &sender->mail;
}

static void send_next(struct sender *sender)
{
	const struct alert *alert = &sender->pending[sender->first];
	struct web_request *request = &sender->request;
	size_t len = notify_body(sender->service, alert, time(NULL), sender->body);

	set_headers(sender, alert);
	if (sender->service->mail)
		set_mail(sender);
	request->target = &sender->target;
	request->path = sender->service->path;
	request->post = true;
	request->body = (struct str){ sender->body, len };
	request->timeout_ms = TIMEOUT_MS;
	request->done = on_reply;
	request->context = sender;
	sender->first = (sender->first + 1) % PENDING_MAX;
	sender->count--;
	web_start(sender->notify->web, request);
}

static uint64_t digest_due_ms(const struct notify *notify)
{
	return notify->digest.count == 0 ? UINT64_MAX :
	       notify->digest.begun_ms + DIGEST_BACKOFFS * notify->settings.backoff_ms;
}

void notify_run(struct notify *notify, uint64_t now_ms)
{
	struct alert alert;

	notify->now_ms = now_ms;
	if (now_ms >= digest_due_ms(notify) || (notify->hurrying && notify->digest.count > 0)) {
		notify_digest_take(&notify->digest, notify->settings.hostname, now_ms, &alert);
		(void)enqueue(notify, &alert);
	}
	for (unsigned i = 0; i < notify->sender_count; i++)
		if (notify->senders[i].count > 0 && !web_started(&notify->senders[i].request))
			send_next(&notify->senders[i]);
}

uint64_t notify_due_ms(const struct notify *notify)
{
	for (unsigned i = 0; i < notify->sender_count; i++)
		if (notify->senders[i].count > 0 && !web_started(&notify->senders[i].request))
			return notify->now_ms;
	return digest_due_ms(notify);
}

void notify_hurry(struct notify *notify, uint64_t now_ms)
{
	notify->hurrying = true;
	notify->now_ms = now_ms;
}

bool notify_done(const struct notify *notify)
{
	for (unsigned i = 0; i < notify->sender_count; i++)
		if (notify->senders[i].count > 0 || web_started(&notify->senders[i].request))
			return false;
	return notify->digest.count == 0;
}
