/* resolve.c - one name asked of given servers, through c-ares, on an epoll descriptor of its own.
 *
 * Of c-ares we use ares_query(): absolute names, no search list, no hosts file, no environment; a
 * channel, and with it ports, for each question; and we read the answers ourselves.  The resolver
 * of core needs a loop, which neither the control thread nor a health check has. */
#include "core/resolve.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "core/channel.h"
#include "proto/dns.h"
#include "proto/hostname.h"

enum {
	TRY_MS = 500,                   /* for the first round of servers; c-ares doubles it */
	EVENTS_MAX = 16,
};

struct resolve {
	ares_channel channel;
	int epoll_fd, timer_fd;
	uint64_t deadline_ms;
	uint16_t type;
	bool replied, ended;
	const struct egress *egress;    /* NULL: ordinary sockets */
	resolve_fn *done;
	void *context;
	struct resolve_answer answer;
	struct str name;                /* in text, which ends with a NUL */
	char text[HOSTNAME_MAX + 1];
};

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* c-ares says what it waits for; both zero: it is about to close the socket. */
static void socket_wants(void *context, ares_socket_t fd, int readable, int writable)
{
	struct resolve *resolve = context;
	struct epoll_event event = {
		.events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u),
		.data.fd = fd,
	};

	if (!readable && !writable)
		(void)epoll_ctl(resolve->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	else if (epoll_ctl(resolve->epoll_fd, EPOLL_CTL_MOD, fd, &event) < 0)
		(void)epoll_ctl(resolve->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void take_addrs(struct resolve_answer *answer, const struct dns_records *records)
{
	struct dns_addr_walk walk = { 0 };
	struct dns_addr from;

	while (answer->count < RESOLVE_ADDRS_MAX &&
	       dns_records_next_addr(records, &walk, &from)) {
		union addr *addr = &answer->addrs[answer->count++];

		memset(addr, 0, sizeof(*addr));
		addr->sa.sa_family = from.len == 16 ? AF_INET6 : AF_INET;
		if (from.len == 16)
			memcpy(&addr->v6.sin6_addr, from.bytes, 16);
		else
			memcpy(&addr->v4.sin_addr, from.bytes, 4);
	}
}

/* The id was compared by c-ares: it chose it. */
static bool read_reply(const struct resolve *resolve, const uint8_t *data, size_t len,
		       struct dns_records *records)
{
	struct dns_question question = { .type = resolve->type };

	if (!data || len < 2)
		return false;
	question.id = (uint16_t)(data[0] << 8 | data[1]);
	question.name_len = (uint8_t)dns_name_from_text(resolve->name, question.name);
	return dns_response_match(data, len, &question) == DNS_MATCH_YES &&
	       dns_response_parse(data, len, &question, records) == PARSED_OK && !records->cut &&
	       (records->rcode == DNS_RCODE_NONE || records->rcode == DNS_RCODE_NXDOMAIN);
}

static void on_reply(void *context, int status, int timeouts, unsigned char *data, int len)
{
	struct resolve *resolve = context;
	struct dns_records records;

	(void)timeouts;
	if (resolve->ended)
		return;                         /* our own ares_destroy() */
	resolve->replied = true;
	resolve->answer.no_name = status == ARES_ENOTFOUND;
	resolve->answer.failed = !resolve->answer.no_name;
	if (len < 0 || !read_reply(resolve, data, (size_t)len, &records))
		return;
	resolve->answer.no_name = records.rcode == DNS_RCODE_NXDOMAIN;
	resolve->answer.failed = false;
	take_addrs(&resolve->answer, &records);
}

static void timer_set(struct resolve *resolve)
{
	uint64_t now = now_ms(), at_ms = resolve->deadline_ms;
	struct itimerspec when = { 0 };
	struct timeval wait;

	if (ares_timeout(resolve->channel, NULL, &wait)) {
		uint64_t next_ms = now + (uint64_t)wait.tv_sec * 1000 +
				   (uint64_t)wait.tv_usec / 1000 + 1;

		at_ms = next_ms < at_ms ? next_ms : at_ms;
	}
	if (resolve->replied || at_ms <= now)
		at_ms = now + 1;
	when.it_value = (struct timespec){ (time_t)((at_ms - now) / 1000),
					   (long)((at_ms - now) % 1000) * 1000000 };
	(void)timerfd_settime(resolve->timer_fd, 0, &when, NULL);
}

/* c-ares has made a socket and not used it yet: a negative answer, and it is not used at all. */
static int on_socket_made(ares_socket_t fd, int type, void *context)
{
	const struct resolve *resolve = context;

	(void)type;
	return egress_mark(resolve->egress, fd) < 0 ? -1 : 0;
}

/* Sockets are made inside these two. */
static void process(struct resolve *resolve, ares_socket_t readable, ares_socket_t writable)
{
	egress_begin(resolve->egress);
	ares_process_fd(resolve->channel, readable, writable);
	egress_end(resolve->egress);
}

static void query(struct resolve *resolve)
{
	egress_begin(resolve->egress);
	ares_query(resolve->channel, resolve->text, 1, resolve->type, on_reply, resolve);
	egress_end(resolve->egress);
}

static int descriptors_open(struct resolve *resolve)
{
	struct epoll_event event = { .events = EPOLLIN };

	resolve->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	resolve->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (resolve->epoll_fd < 0 || resolve->timer_fd < 0)
		return -errno;
	event.data.fd = resolve->timer_fd;
	return epoll_ctl(resolve->epoll_fd, EPOLL_CTL_ADD, resolve->timer_fd, &event) < 0 ?
	       -errno : 0;
}

int resolve_open(struct resolve **out, const struct upstreams *servers, struct str name,
		 sa_family_t family, const struct egress *egress, resolve_fn *done, void *context)
{
	struct resolve *resolve = calloc(1, sizeof(*resolve));
	int err;

	assert(name.len > 0 && name.len <= HOSTNAME_MAX);
	*out = NULL;
	if (!resolve)
		return -ENOMEM;
	resolve->epoll_fd = resolve->timer_fd = -1;
	resolve->egress = egress;
	resolve->done = done;
	resolve->context = context;
	resolve->deadline_ms = now_ms() + RESOLVE_PATIENCE_MS;
	memcpy(resolve->text, name.at, name.len);
	resolve->name = (struct str){ resolve->text, name.len };
	resolve->type = family == AF_INET6 ? DNS_TYPE_AAAA : DNS_TYPE_A;
	resolve->answer.failed = true;          /* until somebody has answered */
	err = descriptors_open(resolve);
	if (err == 0)
		err = channel_open(&resolve->channel, &(struct channel_how){
			.servers = servers, .try_ms = TRY_MS,
			.wants = socket_wants, .context = resolve });
	if (err < 0) {
		resolve_close(resolve);
		return err;
	}
	ares_set_socket_configure_callback(resolve->channel, on_socket_made, resolve);
	query(resolve);
	timer_set(resolve);
	*out = resolve;
	return 0;
}

int resolve_fd(const struct resolve *resolve)
{
	return resolve->epoll_fd;
}

void resolve_run(struct resolve *resolve)
{
	struct epoll_event events[EVENTS_MAX];
	int count = epoll_wait(resolve->epoll_fd, events, EVENTS_MAX, 0);
	struct resolve_answer answer;
	void *done_context;
	resolve_fn *done;
	uint64_t times;

	for (int i = 0; i < count; i++) {
		int fd = events[i].data.fd;
		bool in = events[i].events & ~(uint32_t)EPOLLOUT;

		if (fd == resolve->timer_fd)
			(void)!read(fd, &times, sizeof(times));
		else
			process(resolve, in ? fd : ARES_SOCKET_BAD,
				events[i].events & EPOLLOUT ? fd : ARES_SOCKET_BAD);
	}
	process(resolve, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	if (!resolve->replied && now_ms() < resolve->deadline_ms) {
		timer_set(resolve);
		return;
	}
	done = resolve->done;
	done_context = resolve->context;
	answer = resolve->answer;
	resolve_close(resolve);
	done(done_context, &answer);
}

void resolve_close(struct resolve *resolve)
{
	if (!resolve)
		return;
	resolve->ended = true;
	if (resolve->channel)
		ares_destroy(resolve->channel);
	if (resolve->timer_fd >= 0)
		close(resolve->timer_fd);
	if (resolve->epoll_fd >= 0)
		close(resolve->epoll_fd);
	free(resolve);
}

struct waiting {
	bool done;
	struct resolve_answer *answer;
};

static void on_answer(void *context, const struct resolve_answer *answer)
{
	struct waiting *waiting = context;

	*waiting->answer = *answer;
	waiting->done = true;
}

int resolve_now(const struct upstreams *servers, struct str name, sa_family_t family,
		struct resolve_answer *answer)
{
	struct waiting waiting = { .answer = answer };
	struct resolve *resolve;
	int err = resolve_open(&resolve, servers, name, family, NULL, on_answer, &waiting);

	if (err < 0)
		return err;
	while (!waiting.done) {
		struct pollfd wait = { .fd = resolve_fd(resolve), .events = POLLIN };

		(void)poll(&wait, 1, RESOLVE_PATIENCE_MS);
		resolve_run(resolve);
	}
	return 0;
}
