/* schedule.c - the health checks of a running forward, on its control thread, so often.
 *
 * curl's sockets are in an epoll descriptor of their own, which turns readable when one of them has
 * something, and is all that the control thread watches of them. */
#include "health/schedule.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/log.h"
#include "core/op.h"
#include "core/resolve.h"
#include "health/pin.h"

enum { EVENTS_MAX = 8 };

enum state { STATE_UNKNOWN, STATE_UP, STATE_DOWN };

static const char *const state_texts[] = { "unknown", "up", "down" };

struct check {
	const char *name;
	enum state state;
	bool running, skipped;          /* skipped: the last time, which was told */
	uint64_t checks, failures, skips;
};

struct scheduled_probe {
	struct schedule *schedule;
	const struct probe_plan *plan;  /* NULL: not this one */
	struct check check;
	struct probe probe;
	bool parked;                    /* was waiting for a connection to end, when it ended */
};

struct schedule {
	struct schedule_plan plan;
	struct watch tick, sockets, timer;      /* timer: curl's */
	CURLM *multi;
	const struct curl *curl;
	struct scheduled_probe probes[PROBE_KINDS];

	struct check pin_check;
	struct pin pin;
	bool balanced;                  /* the name says nothing about the pin */
	struct resolve *resolve;
	struct watch resolving;
};

/* What a check says */

static void say(struct check *check, bool good, const char *why)
{
	enum state state = good ? STATE_UP : STATE_DOWN;

	check->running = check->skipped = false;
	check->checks++;
	check->failures += !good;
	if (state == check->state)
		return;
	check->state = state;
	if (good)
		log_info("health.up", log_str("check", check->name));
	else
		log_warn("health.down", log_str("check", check->name), log_str("err", why));
}

static void say_skipped(struct check *check, uint16_t port)
{
	check->running = false;
	check->skips++;
	if (!check->skipped)
		log_info("health.skipped", log_str("check", check->name), log_uint("port", port),
			 log_str("note", "all MAX_CONNECTIONS are in use"));
	check->skipped = true;
}

/* Probes */

static enum schedule_limit limit_of(const struct scheduled_probe *one)
{
	const struct schedule_plan *plan = &one->schedule->plan;

	return plan->limit ? plan->limit(plan->context, one->probe.port) : SCHEDULE_FREE;
}

/* Nobody answered: because of the target, or because our own connection had to wait? */
static void on_unanswered(struct probe *probe)
{
	struct scheduled_probe *one = container_of(probe, struct scheduled_probe, probe);

	one->parked = limit_of(one) == SCHEDULE_WAITED_FOR;
}

static void start_probe(struct scheduled_probe *one)
{
	struct schedule *schedule = one->schedule;
	char error[PROBE_ERROR_MAX];

	if (!one->plan || one->check.running)
		return;
	if (probe_open(&one->probe, schedule->curl, one->plan, NULL, error) < 0)
		return say(&one->check, false, error);
	if (limit_of(one) != SCHEDULE_FREE) {
		say_skipped(&one->check, one->probe.port);
		return probe_close(&one->probe);
	}
	one->parked = false;
	one->probe.on_unanswered = on_unanswered;
	one->check.running = true;
	if (schedule->curl->multi_add_handle(schedule->multi, one->probe.easy) == CURLM_OK)
		return;
	probe_close(&one->probe);
	say(&one->check, false, "libcurl takes no more work");
}

static void finish_probe(struct scheduled_probe *one, CURLcode code)
{
	char why[PROBE_ERROR_MAX];
	uint16_t port = one->probe.port;

	probe_failure(&one->probe, code, why);
	(void)one->schedule->curl->multi_remove_handle(one->schedule->multi, one->probe.easy);
	probe_close(&one->probe);
	if (code != CURLE_OK && one->parked)
		say_skipped(&one->check, port);
	else
		say(&one->check, code == CURLE_OK, why);
}

/* Let curl work, then take what has ended. */
static void run_curl(struct schedule *schedule, int fd, int events)
{
	const struct curl *curl = schedule->curl;
	CURLMsg *message;
	int running, left;

	(void)curl->multi_socket_action(schedule->multi, fd, events, &running);
	while ((message = curl->multi_info_read(schedule->multi, &left))) {
		CURLcode code = message->data.result;

		for (unsigned i = 0; i < PROBE_KINDS; i++)
			if (message->msg == CURLMSG_DONE && schedule->probes[i].check.running &&
			    schedule->probes[i].probe.easy == message->easy_handle) {
				finish_probe(&schedule->probes[i], code);
				break;          /* the message is gone too */
			}
	}
}

static int on_socket_wish(CURL *easy, curl_socket_t fd, int what, void *context, void *unused)
{
	struct schedule *schedule = context;
	struct epoll_event event = {
		.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) |
			  (what & CURL_POLL_OUT ? EPOLLOUT : 0u),
		.data.fd = fd,
	};

	(void)easy;
	(void)unused;
	if (what == CURL_POLL_REMOVE)
		(void)epoll_ctl(schedule->sockets.fd, EPOLL_CTL_DEL, fd, NULL);
	else if (epoll_ctl(schedule->sockets.fd, EPOLL_CTL_MOD, fd, &event) < 0)
		(void)epoll_ctl(schedule->sockets.fd, EPOLL_CTL_ADD, fd, &event);
	return 0;
}

static int on_timer_wish(CURLM *multi, long wait_ms, void *context)
{
	struct schedule *schedule = context;

	(void)multi;
	/* 0 would switch the timer off, as -1 means; a millisecond is as good as none. */
	control_tick_set(schedule->timer.fd,
			 wait_ms < 0 ? 0 : wait_ms == 0 ? 1 : (uint64_t)wait_ms, 0);
	return 0;
}

static void on_sockets(struct watch *watch)
{
	struct schedule *schedule = container_of(watch, struct schedule, sockets);
	struct epoll_event events[EVENTS_MAX];
	int count = epoll_wait(watch->fd, events, EVENTS_MAX, 0);

	for (int i = 0; i < count; i++) {
		uint32_t is = events[i].events;

		run_curl(schedule, events[i].data.fd,
			 (is & EPOLLIN ? CURL_CSELECT_IN : 0) |
			 (is & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
			 (is & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0));
	}
}

static void on_timer(struct watch *watch)
{
	struct schedule *schedule = container_of(watch, struct schedule, timer);

	control_tick_read(watch->fd);
	run_curl(schedule, CURL_SOCKET_TIMEOUT, 0);
}

/* The pinned address */

static void ask_name(struct schedule *schedule);

static void judge_answer(struct schedule *schedule, const struct resolve_answer *answer)
{
	const char *target = schedule->plan.target;
	char sets[2][PIN_TEXT_MAX], ip[ADDR_TEXT_MAX];
	char why[2 * PIN_TEXT_MAX + 512];
	enum pin_verdict verdict;

	if (answer->failed || answer->no_name) {
		snprintf(why, sizeof(why), "%s cannot be resolved: %s", target,
			 answer->no_name ? "there is no such name" : "no answer of NAMESERVERS");
		return say(&schedule->pin_check, false, why);
	}
	verdict = pin_judge(&schedule->pin, answer->addrs, answer->count);
	pin_set_text(&schedule->pin.earlier, sets[0]);
	pin_set_text(&schedule->pin.latest, sets[1]);
	if (verdict == PIN_ASK_AGAIN)
		return ask_name(schedule);
	if (verdict == PIN_STALE)
		snprintf(why, sizeof(why), "%s no longer resolves to %s, %s, %s", target,
			 addr_format_ip(schedule->plan.pinned, ip), sets[0], sets[1]);
	if (verdict == PIN_BALANCED) {
		schedule->balanced = true;
		log_info("health.balanced", log_str("target", target), log_str("first", sets[0]),
			 log_str("then", sets[1]), log_str("note", "the name is load-balancing "
			 "with dns: what it was pinned to is not looked after any more"));
	}
	say(&schedule->pin_check, verdict != PIN_STALE, why);
}

static void on_answer(void *context, const struct resolve_answer *answer)
{
	struct schedule *schedule = context;

	schedule->resolve = NULL;               /* it is gone, and its descriptor with it */
	schedule->resolving.fd = -1;
	judge_answer(schedule, answer);
}

static void on_resolving(struct watch *watch)
{
	resolve_run(container_of(watch, struct schedule, resolving)->resolve);
}

static void ask_name(struct schedule *schedule)
{
	const struct schedule_plan *plan = &schedule->plan;
	int err = resolve_open(&schedule->resolve, plan->nameservers, plan->name,
			       plan->pinned->sa.sa_family, NULL, on_answer, schedule);

	if (err == 0) {
		schedule->resolving.fd = resolve_fd(schedule->resolve);
		err = control_add(plan->control, &schedule->resolving);
	}
	if (err < 0) {
		resolve_close(schedule->resolve);
		schedule->resolve = NULL;
		schedule->resolving.fd = -1;
		say(&schedule->pin_check, false, strerror(-err));
	}
}

static void start_pin(struct schedule *schedule)
{
	if (!schedule->plan.pinned || schedule->balanced || schedule->pin_check.running)
		return;
	pin_init(&schedule->pin, schedule->plan.pinned);
	schedule->pin_check.running = true;
	ask_name(schedule);
}

/* Everything */

static void on_tick(struct watch *watch)
{
	struct schedule *schedule = container_of(watch, struct schedule, tick);

	control_tick_read(watch->fd);
	start_pin(schedule);
	for (unsigned i = 0; i < PROBE_KINDS; i++)
		start_probe(&schedule->probes[i]);
}

static int open_curl(struct schedule *schedule, char error[PROBE_ERROR_MAX])
{
	const char *why = "libcurl cannot be used";
	const struct curl *curl = curl_load(&why);
	char url[PROBE_URL_MAX];
	uint16_t port;

	schedule->curl = curl;
	schedule->multi = curl ? curl->multi_init() : NULL;
	if (!schedule->multi ||
	    curl->multi_setopt(schedule->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wish) ||
	    curl->multi_setopt(schedule->multi, CURLMOPT_SOCKETDATA, schedule) ||
	    curl->multi_setopt(schedule->multi, CURLMOPT_TIMERFUNCTION, on_timer_wish) ||
	    curl->multi_setopt(schedule->multi, CURLMOPT_TIMERDATA, schedule)) {
		snprintf(error, PROBE_ERROR_MAX, "%s", why);
		return -ENOTSUP;
	}
	/* A URL that cannot be asked is said now, not at every check. */
	for (unsigned i = 0; i < PROBE_KINDS; i++)
		if (schedule->plan.probes[i] &&
		    probe_url(curl, schedule->plan.probes[i], url, &port, error) < 0)
			return -EINVAL;
	return 0;
}

static int watch_all(struct schedule *schedule)
{
	struct control *control = schedule->plan.control;
	uint64_t interval_ms = schedule->plan.interval_ms;
	int err;

	schedule->tick.fd = control_tick_open(interval_ms, interval_ms);
	schedule->timer.fd = control_tick_open(0, 0);
	schedule->sockets.fd = epoll_create1(EPOLL_CLOEXEC);
	if (schedule->tick.fd < 0 || schedule->timer.fd < 0 || schedule->sockets.fd < 0)
		return -errno;
	if ((err = control_add(control, &schedule->tick)) < 0 ||
	    (err = control_add(control, &schedule->timer)) < 0)
		return err;
	return control_add(control, &schedule->sockets);
}

int schedule_open(struct schedule **out, const struct schedule_plan *plan,
		  char error[PROBE_ERROR_MAX])
{
	struct schedule *schedule = calloc(1, sizeof(*schedule));
	int err;

	snprintf(error, PROBE_ERROR_MAX, "%s", strerror(ENOMEM));
	if (!schedule)
		return -ENOMEM;
	schedule->plan = *plan;
	schedule->tick = (struct watch){ .fd = -1, .ready = on_tick };
	schedule->timer = (struct watch){ .fd = -1, .ready = on_timer };
	schedule->sockets = (struct watch){ .fd = -1, .ready = on_sockets };
	schedule->resolving = (struct watch){ .fd = -1, .ready = on_resolving };
	schedule->pin_check.name = "pin";
	for (unsigned i = 0; i < PROBE_KINDS; i++) {
		schedule->probes[i].schedule = schedule;
		schedule->probes[i].plan = plan->probes[i];
		schedule->probes[i].check.name = probe_kind_text((enum probe_kind)i);
	}
	err = watch_all(schedule);
	if (err < 0)
		snprintf(error, PROBE_ERROR_MAX, "%s", strerror(-err));
	else if (plan->probes[PROBE_HTTP] || plan->probes[PROBE_SMTP])
		err = open_curl(schedule, error);
	if (err < 0) {
		schedule_close(schedule);
		return err;
	}
	*out = schedule;
	return 0;
}

void schedule_close(struct schedule *schedule)
{
	struct watch *watches[3];

	if (!schedule)
		return;
	control_forget(schedule->plan.control, &schedule->resolving);
	resolve_close(schedule->resolve);
	for (unsigned i = 0; i < PROBE_KINDS; i++) {
		if (schedule->probes[i].check.running)
			(void)schedule->curl->multi_remove_handle(schedule->multi,
								  schedule->probes[i].probe.easy);
		probe_close(&schedule->probes[i].probe);
	}
	if (schedule->multi)
		(void)schedule->curl->multi_cleanup(schedule->multi);
	watches[0] = &schedule->tick;
	watches[1] = &schedule->timer;
	watches[2] = &schedule->sockets;
	for (unsigned i = 0; i < ARRAY_LEN(watches); i++) {
		control_forget(schedule->plan.control, watches[i]);
		if (watches[i]->fd >= 0)
			close(watches[i]->fd);
	}
	free(schedule);
}

static void add_check(const struct check *check, struct status_text *text)
{
	char key[64];

	snprintf(key, sizeof(key), "health.%s", check->name);
	status_add(text, key, "%s", state_texts[check->state]);
	snprintf(key, sizeof(key), "health.%s.checks", check->name);
	status_add(text, key, "%" PRIu64, check->checks);
	snprintf(key, sizeof(key), "health.%s.failures", check->name);
	status_add(text, key, "%" PRIu64, check->failures);
	snprintf(key, sizeof(key), "health.%s.skipped", check->name);
	status_add(text, key, "%" PRIu64, check->skips);
}

/* The i-th check that there is; NULL behind the last. */
static const struct check *nth_check(const struct schedule *schedule, unsigned i)
{
	if (schedule->plan.pinned && i-- == 0)
		return &schedule->pin_check;
	for (unsigned kind = 0; kind < PROBE_KINDS; kind++)
		if (schedule->probes[kind].plan && i-- == 0)
			return &schedule->probes[kind].check;
	return NULL;
}

void schedule_add_status(const struct schedule *schedule, struct status_text *text)
{
	const struct check *check;

	for (unsigned i = 0; schedule && (check = nth_check(schedule, i)); i++)
		add_check(check, text);
}

void schedule_log(const struct schedule *schedule)
{
	const struct check *check;

	for (unsigned i = 0; schedule && (check = nth_check(schedule, i)); i++)
		log_info("health", log_str("check", check->name),
			 log_str("state", state_texts[check->state]),
			 log_uint("checks", check->checks), log_uint("failures", check->failures),
			 log_uint("skipped", check->skips));
}
