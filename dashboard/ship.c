/* ship.c - batches of events, until they have arrived. */
#include "dashboard/ship.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "core/log.h"
#include "dashboard/gzip.h"

enum {
	BATCH_EVENTS = 500,
	BATCH_BYTES = 512 << 10,        /* old servers take 1 MiB */
	EDGES_MAX = 24 << 10,           /* head and tail */
	GZIP_FROM = 1024,
	TIMEOUT_MS = 15 * 1000,         /* the seed's */
	PROBE_TIMEOUT_MS = 5 * 1000,
	FIRST_WAIT_MS = 500,
	LONGEST_WAIT_MS = 30 * 1000,
	REFUSED_WAIT_MS = 5 * 1000,     /* a wrong key does not get right by asking often */
	SINGLES_FOR_MS = 10 * 60 * 1000, /* a server without arrays may be another one then */
	TELL_EVERY_MS = 60 * 1000,
	HTTP_REQUEST_TIMEOUT = 408, HTTP_TOO_LARGE = 413, HTTP_TOO_MANY = 429,
	HTTP_UNAUTHORIZED = 401, HTTP_FORBIDDEN = 403, HTTP_NOT_FOUND = 404,
	HTTP_METHOD = 405,
};

struct ship {
	struct ship_settings settings;
	struct web *web;
	struct queue queue;
	struct web_request request;
	bool probing, failing, hurrying, given_up;
	bool gzip, ringfence;           /* the server takes it; is ours */
	unsigned batch_max, batch;      /* events in one request; in this one */
	size_t bytes_max;
	uint64_t not_before_ms, wait_ms;
	uint64_t singles_until_ms;
	unsigned singles_left;          /* of a batch that was refused */
	bool single_refused;
	uint64_t rejected;              /* since it was told */
	uint64_t dropped_told, dropped_told_ms, rejected_told_ms;
	uint64_t now_ms;                /* of the last ship_run() */
	char body[EDGES_MAX + BATCH_BYTES], packed[BATCH_BYTES];
};

static void on_reply(struct web_request *request, const struct web_reply *reply);

int ship_open(struct ship **out, struct web *web, const struct ship_settings *settings,
	      uint64_t now_ms)
{
	struct ship *ship = calloc(1, sizeof(*ship));

	if (!ship || queue_init(&ship->queue, settings->queue_size, settings->spool) < 0) {
		spool_close(settings->spool);
		free(ship);
		return -ENOMEM;
	}
	ship->settings = *settings;
	ship->web = web;
	ship->probing = settings->probe != NULL;
	ship->batch_max = BATCH_EVENTS;
	ship->bytes_max = BATCH_BYTES;
	ship->now_ms = now_ms;
	ship->not_before_ms = now_ms + settings->start_delay_ms;
	ship->dropped_told_ms = 0;
	*out = ship;
	return 0;
}

void ship_close(struct ship *ship)
{
	if (!ship)
		return;
	web_cancel(&ship->request);
	queue_finish(&ship->queue);
	free(ship);
}

void ship_push(struct ship *ship, struct str text)
{
	queue_push(&ship->queue, text);
}

/* Once a minute at most. */
static void tell_dropped(struct ship *ship)
{
	uint64_t dropped = ship->queue.dropped;

	if (dropped == ship->dropped_told ||
	    (ship->dropped_told_ms != 0 && ship->now_ms - ship->dropped_told_ms < TELL_EVERY_MS))
		return;
	log_warn(ship->settings.texts.queue_full, log_uint("count", dropped - ship->dropped_told),
		 log_uint("waiting", queue_count(&ship->queue)),
		 log_str("note", "more events than could be sent: the oldest were dropped"));
	ship->dropped_told = dropped;
	ship->dropped_told_ms = ship->now_ms;
}

/* Waiting */

/* Half to all of it, so that a fleet does not come back all at once. */
static uint64_t with_jitter(uint64_t ms)
{
	uint32_t random = 0;

	(void)!getrandom(&random, sizeof(random), GRND_NONBLOCK);
	return ms / 2 + random % (ms / 2 + 1);
}

static void wait(struct ship *ship, uint64_t first_ms, unsigned retry_after_s)
{
	uint64_t ms = ship->wait_ms < first_ms ? first_ms : ship->wait_ms;

	ship->wait_ms = 2 * ms < LONGEST_WAIT_MS ? 2 * ms : LONGEST_WAIT_MS;
	ms = with_jitter(ms);
	if (retry_after_s > 0 && ms < 1000 * (uint64_t)retry_after_s)
		ms = retry_after_s < 300 ? 1000 * (uint64_t)retry_after_s : 300 * 1000;
	ship->not_before_ms = ship->now_ms + ms;
	ship->given_up = ship->hurrying;
}

static void tell_failing(struct ship *ship, const char *why, const char *note)
{
	if (ship->failing)
		return;
	ship->failing = true;
	log_warn(ship->settings.texts.failed, log_str("err", why),
		 log_str("host", ship->settings.target->host_shown),
		 log_uint("waiting", queue_count(&ship->queue)), log_str("note", note));
}

static void tell_working(struct ship *ship)
{
	if (ship->failing)
		log_info(ship->settings.texts.resumed,
			 log_str("host", ship->settings.target->host_shown),
			 log_uint("waiting", queue_count(&ship->queue)));
	ship->failing = false;
	ship->wait_ms = 0;
}

/* Sending */

static void set_headers(struct ship *ship, bool packed)
{
	const char *const *more = ship->settings.headers;
	unsigned count = 0;

	ship->request.headers[count++] = "Content-Type: application/json";
	if (packed)
		ship->request.headers[count++] = "Content-Encoding: gzip";
	for (unsigned i = 0; i < ARRAY_LEN(ship->settings.headers) && more[i]; i++)
		ship->request.headers[count++] = more[i];
	ship->request.headers[count] = NULL;
}

static void send_body(struct ship *ship, struct str body, uint64_t timeout_ms)
{
	size_t packed = ship->gzip && body.len >= GZIP_FROM ?
			gzip_pack(body.at, body.len, ship->packed, sizeof(ship->packed)) : 0;

	set_headers(ship, packed > 0);
	ship->request.target = ship->settings.target;
	ship->request.path = ship->settings.path;
	ship->request.post = true;
	ship->request.body = packed > 0 ? (struct str){ ship->packed, packed } : body;
	ship->request.timeout_ms = timeout_ms;
	ship->request.done = on_reply;
	ship->request.context = ship;
	web_start(ship->web, &ship->request);
}

static bool one_at_a_time(const struct ship *ship)
{
	return ship->singles_left > 0 || ship->now_ms < ship->singles_until_ms;
}

static void send_batch(struct ship *ship)
{
	const char *head = ship->settings.head, *tail = ship->settings.tail;
	char *events = ship->body + strlen(head);
	struct str body;
	size_t len;

	ship->batch = queue_peek(&ship->queue, one_at_a_time(ship) ? 1 : ship->batch_max, events,
				 ship->bytes_max, &len);
	if (ship->batch == 0)
		return;
	body = (struct str){ events, len };
	if (ship->batch > 1 || !ship->settings.bare_single) {
		memcpy(ship->body, head, strlen(head));
		memcpy(events + len, tail, strlen(tail));
		body = (struct str){ ship->body, strlen(head) + len + strlen(tail) };
	}
	send_body(ship, body, TIMEOUT_MS);
}

/* Is the request good, but not this batch? */
static bool refuses_content(long status)
{
	return status >= 400 && status < 500 && status != HTTP_UNAUTHORIZED &&
	       status != HTTP_FORBIDDEN && status != HTTP_NOT_FOUND && status != HTTP_METHOD &&
	       status != HTTP_REQUEST_TIMEOUT && status != HTTP_TOO_MANY;
}

/* One of those that went alone is through, well or not. */
static void count_single(struct ship *ship, bool refused)
{
	if (ship->singles_left == 0)
		return;
	ship->single_refused |= refused;
	/* All were good, only not together. */
	if (--ship->singles_left == 0 && !ship->single_refused)
		ship->singles_until_ms = ship->now_ms + SINGLES_FOR_MS;
}

static void on_refused(struct ship *ship, const char *why)
{
	if (ship->batch > 1) {
		ship->singles_left = ship->batch;
		ship->single_refused = false;
		return;                         /* at once, one at a time */
	}
	ship->rejected++;
	if (ship->rejected_told_ms == 0 || ship->now_ms - ship->rejected_told_ms >= TELL_EVERY_MS) {
		log_warn(ship->settings.texts.rejected, log_str("err", why),
			 log_str("host", ship->settings.target->host_shown),
			 log_uint("count", ship->rejected),
			 log_str("note", "the server refuses these events: they are dropped"));
		ship->rejected_told_ms = ship->now_ms;
		ship->rejected = 0;
	}
	queue_pop(&ship->queue);
	count_single(ship, true);
}

static void on_too_large(struct ship *ship, const char *why)
{
	if (ship->batch <= 1)
		return on_refused(ship, why);
	ship->batch_max = ship->batch / 2;
}

static const char *advice(long status)
{
	if (status == HTTP_UNAUTHORIZED || status == HTTP_FORBIDDEN)
		return "the server does not take our key: is it the right one?";
	if (status == HTTP_NOT_FOUND || status == HTTP_METHOD)
		return "nothing takes events at this address: is it the right one?";
	return "events wait here meanwhile";
}

static void on_probed(struct ship *ship, const struct web_reply *reply, const char *why)
{
	ship->probing = false;
	if (why)
		log_warn(ship->settings.texts.probe_error, log_str("err", why),
			 log_str("host", ship->settings.target->host_shown));
	else
		log_info(ship->settings.texts.probe_ok,
			 log_str("host", ship->settings.target->host_shown),
			 log_int("status", reply->status));
}

static void on_reply(struct web_request *request, const struct web_reply *reply)
{
	struct ship *ship = request->context;
	bool good = !reply->failed && reply->status >= 200 && reply->status < 300;
	char status[32];
	const char *why = reply->failed;

	snprintf(status, sizeof(status), "status %ld", reply->status);
	why = good ? NULL : why ? why : status;
	if (reply->takes_gzip)
		ship->gzip = true;
	if (!reply->failed)
		ship->ringfence = reply->is_ringfence;
	if (ship->probing)
		return on_probed(ship, reply, why);
	if (good) {
		queue_pop(&ship->queue);
		tell_working(ship);
		count_single(ship, false);
	} else if (!reply->failed && reply->status == HTTP_TOO_LARGE) {
		on_too_large(ship, why);
	} else if (!reply->failed && refuses_content(reply->status)) {
		on_refused(ship, why);
	} else {
		bool refused = !reply->failed && reply->status < 500 &&
			       reply->status != HTTP_TOO_MANY;

		tell_failing(ship, why, advice(reply->failed ? 0 : reply->status));
		wait(ship, refused ? REFUSED_WAIT_MS : FIRST_WAIT_MS, reply->retry_after_s);
	}
}

void ship_run(struct ship *ship, uint64_t now_ms)
{
	ship->now_ms = now_ms;
	queue_flush(&ship->queue);
	tell_dropped(ship);
	if (web_started(&ship->request) || now_ms < ship->not_before_ms || ship->given_up)
		return;
	if (ship->probing)
		send_body(ship, str_of(ship->settings.probe), PROBE_TIMEOUT_MS);
	else
		send_batch(ship);
}

uint64_t ship_due_ms(const struct ship *ship)
{
	if (web_started(&ship->request) || ship->given_up ||
	    (!ship->probing && queue_count(&ship->queue) == 0))
		return UINT64_MAX;
	return ship->not_before_ms;
}

void ship_hurry(struct ship *ship, uint64_t now_ms)
{
	ship->hurrying = true;
	ship->not_before_ms = now_ms;
	/* What did not work a moment ago is not waited for. */
	ship->given_up = ship->failing;
	if (!web_started(&ship->request))
		ship->probing = false;
}

bool ship_done(const struct ship *ship)
{
	return ship->given_up || (!web_started(&ship->request) && queue_count(&ship->queue) == 0);
}

bool ship_knows_ringfence(const struct ship *ship)
{
	return ship->ringfence;
}
