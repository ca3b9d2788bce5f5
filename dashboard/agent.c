/* agent.c - the thread, and what it does in turn. */
#include "dashboard/agent.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/privilege.h"
#include "dashboard/event_json.h"
#include "dashboard/ship.h"

enum {
	RING_EVENTS = 4096,
	TELL_EVERY_MS = 60 * 1000,
	SLEEP_MS = 60 * 1000,
	MAIL_MAX = 64,                  /* as many as are in hand at once, or more (unblock.c) */
};

struct agent {
	const struct agent_settings *settings;
	pthread_t thread;
	int wake_fd;
	struct event_ring *events;
	_Atomic uint64_t stop_at_ms;    /* 0: go on */

	/* The mailbox: under the lock */
	pthread_mutex_t lock;
	int unblock_fd;
	struct unblock_item items[MAIL_MAX];    /* to the control thread, a ring */
	struct unblock_result results[MAIL_MAX];        /* from it */
	unsigned item_first, item_count, result_count;
	char *report;
	bool report_urgent;

	/* The thread's own */
	struct web web;
	struct web_target dashboard_target, otlp_target;
	struct event_origin origin;
	struct ship *dashboard, *otlp;  /* NULL: not that */
	struct notify *notify;
	struct unblock *unblock;
	bool hurrying;
	uint64_t lost_told, lost_told_ms;
	char key_headers[2][AGENT_HEADER_MAX];
	char head[EVENT_JSON_MAX];      /* of an OTLP request */
	char text[EVENT_JSON_MAX];
};

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool agent_is_needed(const struct agent_settings *settings)
{
	return settings->ships || settings->exports || settings->service_count > 0;
}

/* Opening what was asked for */

static void open_dashboard(struct agent *agent)
{
	static const char probe[] = "{\"msg\":\"_dashboard_probe\"}";
	const struct agent_settings *settings = agent->settings;
	struct ship_settings ship = {
		.texts = { "dashboard: probe ok", "dashboard: probe error", "dashboard.queue_full",
			   "dashboard.send_failed", "dashboard.send_resumed",
			   "dashboard.rejected" },
		.target = &agent->dashboard_target,
		.path = "/api/v1/logs",
		.head = "[", .tail = "]", .bare_single = true,
		.probe = probe,
		.start_delay_ms = settings->start_delay_ms,
		.queue_size = settings->queue_size,
	};
	char error[SPOOL_ERROR_MAX];

	if (settings->api_key[0]) {
		snprintf(agent->key_headers[0], AGENT_HEADER_MAX, "X-Api-Key: %s",
			 settings->api_key);
		snprintf(agent->key_headers[1], AGENT_HEADER_MAX, "Authorization: Bearer %s",
			 settings->api_key);
		ship.headers[0] = agent->key_headers[0];
		ship.headers[1] = agent->key_headers[1];
	}
	if (settings->spool_folder[0] && spool_open(&ship.spool, settings->spool_folder, "events",
						    settings->spool_bytes, error) < 0) {
		log_error("dashboard.spool_failed", log_str("err", error),
			  log_str("note", "DASHBOARD_SPOOL cannot be used: events wait in memory"));
		ship.spool = NULL;
	}
	if (ship_open(&agent->dashboard, &agent->web, &ship, now_ms()) < 0)
		log_error("dashboard.unavailable", log_str("err", "no memory"));
}

static void open_otlp(struct agent *agent)
{
	const struct agent_settings *settings = agent->settings;
	struct ship_settings ship = {
		.texts = { "otlp.probe_ok", "otlp.probe_error", "otlp.queue_full",
			   "otlp.send_failed", "otlp.send_resumed", "otlp.rejected" },
		.target = &agent->otlp_target,
		.path = "/v1/logs",
		.head = agent->head, .tail = EVENT_OTLP_TAIL,
		.queue_size = settings->queue_size,
	};

	for (unsigned i = 0; i < AGENT_HEADERS_MAX && settings->otlp_headers[i][0]; i++)
		ship.headers[i] = settings->otlp_headers[i];
	agent->head[event_otlp_head(&agent->origin, settings->service_name, agent->head)] = '\0';
	if (ship_open(&agent->otlp, &agent->web, &ship, now_ms()) < 0)
		log_error("otlp.unavailable", log_str("err", "no memory"));
}

static void open_notify(struct agent *agent)
{
	const struct agent_settings *settings = agent->settings;
	const struct notify_settings notify = {
		.hostname = settings->hostname,
		.backoff_ms = settings->backoff_ms,
		.ignore = &settings->ignore,
		.services = settings->services,
		.service_count = settings->service_count,
	};

	if (notify_open(&agent->notify, &agent->web, &notify) < 0)
		log_error("notification.unavailable", log_str("err", "no memory"));
}

/* From the dashboard, on our thread. */
static void on_unblock(void *context, const struct unblock_item *item)
{
	struct agent *agent = context;

	pthread_mutex_lock(&agent->lock);
	if (agent->item_count < MAIL_MAX)
		agent->items[(agent->item_first + agent->item_count++) % MAIL_MAX] = *item;
	pthread_mutex_unlock(&agent->lock);
	(void)eventfd_write(agent->unblock_fd, 1);
}

static void open_unblock(struct agent *agent)
{
	const struct agent_settings *settings = agent->settings;
	const struct unblock_settings unblock = {
		.target = &agent->dashboard_target,
		.key_header = agent->key_headers[0][0] ? agent->key_headers[0] : NULL,
		.hostname = settings->hostname,
		.fetch = settings->unblocks,
		.poll_ms = settings->poll_ms,
		.found = on_unblock,
		.context = agent,
	};

	if (unblock_open(&agent->unblock, &agent->web, &unblock, now_ms()) < 0)
		log_error("remote_unblock.unavailable", log_str("err", "no memory"));
}

static int open_all(struct agent *agent)
{
	const struct agent_settings *settings = agent->settings;
	struct web_settings web = {
		.egress = settings->egress,
		.servers = &settings->servers,
		.hosts = settings->hosts,
	};
	char error[WEB_ERROR_MAX];
	int err;

	(void)privilege_drop_to_shipping();
	err = web_init(&agent->web, &web, error);
	if (err < 0) {
		log_error("dashboard.unavailable", log_str("err", error),
			  log_str("note", "nothing is shipped, no alert is sent, nothing can be "
				  "unblocked from afar"));
		return err;
	}
	agent->origin = (struct event_origin){ settings->hostname, settings->version };
	agent->dashboard_target = settings->dashboard;
	agent->otlp_target = settings->otlp;
	if (settings->ships)
		open_dashboard(agent);
	if (settings->ships && settings->api_key[0])
		open_unblock(agent);
	if (settings->exports)
		open_otlp(agent);
	if (settings->service_count > 0)
		open_notify(agent);
	return 0;
}

/* One turn */

static void handle(struct agent *agent, const struct event *event, uint64_t now)
{
	size_t len;

	if (agent->notify)
		notify_event(agent->notify, event, now);
	if (agent->dashboard && event_is_shipped(event) &&
	    (event_is_decision(event->kind) || ship_knows_ringfence(agent->dashboard))) {
		len = event_json(event, &agent->origin, agent->text);
		ship_push(agent->dashboard, (struct str){ agent->text, len });
	}
	if (agent->otlp && event_is_shipped(event)) {
		len = event_otlp(event, agent->text);
		ship_push(agent->otlp, (struct str){ agent->text, len });
	}
}

static void take_events(struct agent *agent)
{
	uint64_t now = now_ms();
	struct event event;

	for (unsigned i = 0; i < RING_EVENTS && event_take(agent->events, &event); i++)
		handle(agent, &event, now);
}

static void take_mail(struct agent *agent)
{
	struct unblock_result results[MAIL_MAX];
	unsigned count;
	char *report;
	bool urgent;

	pthread_mutex_lock(&agent->lock);
	count = agent->result_count;
	memcpy(results, agent->results, count * sizeof(*results));
	agent->result_count = 0;
	report = agent->report;
	urgent = agent->report_urgent;
	agent->report = NULL;
	agent->report_urgent = false;
	pthread_mutex_unlock(&agent->lock);
	if (!agent->unblock) {
		free(report);
		return;
	}
	for (unsigned i = 0; i < count; i++)
		unblock_answer(agent->unblock, &results[i]);
	if (report)
		unblock_report(agent->unblock, report, urgent);
}

/* We were too slow for the control thread: a disk that hangs, a machine without time. */
static void tell_lost(struct agent *agent, uint64_t now)
{
	uint64_t lost = event_dropped(agent->events);

	if (lost == agent->lost_told ||
	    (agent->lost_told_ms != 0 && now - agent->lost_told_ms < TELL_EVERY_MS))
		return;
	log_warn("dashboard.queue_full", log_uint("count", lost - agent->lost_told),
		 log_str("note", "more events than could be taken over: these were dropped"));
	agent->lost_told = lost;
	agent->lost_told_ms = now;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Let everybody do what is due; returns when the next of them has something to do. */
static uint64_t run_all(struct agent *agent, uint64_t now)
{
	uint64_t due = now + SLEEP_MS;

	if (agent->dashboard) {
		ship_run(agent->dashboard, now);
		due = earlier(due, ship_due_ms(agent->dashboard));
	}
	if (agent->otlp) {
		ship_run(agent->otlp, now);
		due = earlier(due, ship_due_ms(agent->otlp));
	}
	if (agent->unblock && !agent->hurrying) {
		unblock_run(agent->unblock, now);
		due = earlier(due, unblock_due_ms(agent->unblock));
	}
	if (agent->notify) {
		notify_run(agent->notify, now);
		due = earlier(due, notify_due_ms(agent->notify));
	}
	return due;
}

static bool all_done(const struct agent *agent)
{
	return (!agent->dashboard || ship_done(agent->dashboard)) &&
	       (!agent->otlp || ship_done(agent->otlp)) &&
	       (!agent->notify || notify_done(agent->notify));
}

static void hurry(struct agent *agent, uint64_t now)
{
	agent->hurrying = true;
	if (agent->dashboard)
		ship_hurry(agent->dashboard, now);
	if (agent->otlp)
		ship_hurry(agent->otlp, now);
	if (agent->notify)
		notify_hurry(agent->notify, now);
}

static void run(struct agent *agent)
{
	for (;;) {
		uint64_t stop_at = atomic_load(&agent->stop_at_ms), now, due, count;

		web_run(&agent->web);
		take_events(agent);
		take_mail(agent);
		now = now_ms();
		if (stop_at && !agent->hurrying)
			hurry(agent, now);
		due = run_all(agent, now);
		tell_lost(agent, now);
		if (stop_at && (all_done(agent) || now >= stop_at))
			return;
		due = stop_at ? earlier(due, stop_at) : due;
		web_wait(&agent->web, agent->wake_fd, due > now ? due - now : 0);
		(void)!read(agent->wake_fd, &count, sizeof(count));
	}
}

/* Without what it needs the thread only takes events away. */
static void run_idle(struct agent *agent)
{
	struct pollfd wake = { .fd = agent->wake_fd, .events = POLLIN };
	struct event event;
	uint64_t count;

	while (atomic_load(&agent->stop_at_ms) == 0) {
		while (event_take(agent->events, &event))
			;
		(void)poll(&wake, 1, -1);
		(void)!read(agent->wake_fd, &count, sizeof(count));
	}
}

static void *agent_main(void *arg)
{
	struct agent *agent = arg;

	(void)pthread_setname_np(pthread_self(), "ship");
	if (open_all(agent) < 0) {
		run_idle(agent);
		return NULL;
	}
	run(agent);
	ship_close(agent->dashboard);
	ship_close(agent->otlp);
	notify_close(agent->notify);
	unblock_close(agent->unblock);
	web_finish(&agent->web);
	return NULL;
}

/* The control thread's side */

static void agent_free(struct agent *agent)
{
	if (agent->wake_fd >= 0)
		close(agent->wake_fd);
	if (agent->unblock_fd >= 0)
		close(agent->unblock_fd);
	(void)pthread_mutex_destroy(&agent->lock);
	free(agent->report);
	event_ring_finish(agent->events);
	free(agent);
}

int agent_start(struct agent **out, const struct agent_settings *settings)
{
	struct agent *agent = calloc(1, sizeof(*agent));
	int err;

	if (!agent)
		return -ENOMEM;
	agent->settings = settings;
	(void)pthread_mutex_init(&agent->lock, NULL);
	agent->unblock_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	agent->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = agent->wake_fd < 0 || agent->unblock_fd < 0 ? -errno :
				   event_ring_init(&agent->events, RING_EVENTS, agent->wake_fd);
	if (err == 0)
		err = -pthread_create(&agent->thread, NULL, agent_main, agent);
	if (err < 0) {
		agent_free(agent);
		return err;
	}
	*out = agent;
	return 0;
}

void agent_tell(struct agent *agent, const struct event *event)
{
	event_emit(agent->events, event);
}

void agent_report(struct agent *agent, char *report, bool urgent)
{
	char *old;

	pthread_mutex_lock(&agent->lock);
	old = agent->report;
	agent->report = report;
	agent->report_urgent |= urgent;
	pthread_mutex_unlock(&agent->lock);
	free(old);
	(void)eventfd_write(agent->wake_fd, 1);
}

int agent_unblock_fd(const struct agent *agent)
{
	return agent->settings->unblocks ? agent->unblock_fd : -1;
}

bool agent_take_unblock(struct agent *agent, struct unblock_item *item)
{
	bool there;

	pthread_mutex_lock(&agent->lock);
	there = agent->item_count > 0;
	if (there) {
		*item = agent->items[agent->item_first];
		agent->item_first = (agent->item_first + 1) % MAIL_MAX;
		agent->item_count--;
	}
	pthread_mutex_unlock(&agent->lock);
	return there;
}

void agent_answer(struct agent *agent, const struct unblock_result *result)
{
	pthread_mutex_lock(&agent->lock);
	if (agent->result_count < MAIL_MAX)
		agent->results[agent->result_count++] = *result;
	pthread_mutex_unlock(&agent->lock);
	(void)eventfd_write(agent->wake_fd, 1);
}

void agent_stop(struct agent *agent, uint64_t patience_ms)
{
	if (!agent)
		return;
	atomic_store(&agent->stop_at_ms, now_ms() + patience_ms);
	(void)eventfd_write(agent->wake_fd, 1);
	(void)pthread_join(agent->thread, NULL);
	agent_free(agent);
}
