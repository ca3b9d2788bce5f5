/* forward.c - `ringfence forward`: listen on PORT, forward TCP to TARGET. */
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/features.h"
#include "core/log.h"
#include "core/quiet.h"
#include "forward/filter.h"
#include "jobs/jobs.h"

enum { EXIT_SIGTERM = 143 };

static struct {
	struct options options;
	struct filter_settings settings;
	_Atomic uint32_t open[CONN_KINDS];
	struct worker_job job;
	struct workers workers;
	int event_fd;
} forwarding;

static int complain(const char *format, const char *a, const char *b)
{
	fprintf(stderr, "ringfence: ");
	fprintf(stderr, format, a, b);
	fputc('\n', stderr);
	return 1;
}

static int find_target(const char *target, union addr *addr)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	int err;

	if (target[0] == '\0')
		return complain("TARGET is not set: give the address or name to forward to%s%s", "",
				"");
	if (addr_parse(str_of(target), addr))
		return 0;
	err = getaddrinfo(target, NULL, &hints, &found);
	if (err != 0)
		return complain("TARGET: '%s' cannot be resolved: %s", target, gai_strerror(err));
	memcpy(addr, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return 0;
}

static bool parse_port(const char *text, size_t len, uint16_t *port)
{
	unsigned long value = 0;

	if (len == 0 || len > 5)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (unsigned long)(text[i] - '0');
	}
	*port = (uint16_t)value;
	return value >= 1 && value <= 65535;
}

/* Is this one of our own addresses?  Then it can be bound. */
static bool is_ours(const union addr *addr)
{
	union addr any_port = *addr;
	int fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ours;

	addr_set_port(&any_port, 0);
	ours = fd >= 0 && bind(fd, &any_port.sa, addr_len(&any_port)) == 0;
	if (fd >= 0)
		close(fd);
	return ours;
}

/* "443" or "8443:443": listen on the first, dial the last. */
static bool add_port(const char *text, size_t len, const union addr *target)
{
	struct filter_settings *settings = &forwarding.settings;
	static const char *const hosts[] = { "0.0.0.0", "::" };
	const char *colon = memchr(text, ':', len);
	size_t first = colon ? (size_t)(colon - text) : len;
	uint16_t listen, dial;

	if (!parse_port(text, first, &listen) ||
	    !parse_port(colon ? colon + 1 : text, colon ? len - first - 1 : len, &dial) ||
	    settings->listener_count + 2 > FILTER_LISTENERS_MAX)
		return false;
	if (listen == dial && is_ours(target))  /* it would dial itself for ever */
		return false;
	for (unsigned i = 0; i < ARRAY_LEN(hosts); i++) {
		struct filter_listener *one = &settings->listeners[settings->listener_count++];

		(void)addr_parse(str_of(hosts[i]), &one->addr);
		addr_set_port(&one->addr, listen);
		one->target = *target;
		addr_set_port(&one->target, dial);
		one->kind = CONN_PLAIN;
	}
	return true;
}

static int add_ports(const char *text, const union addr *target)
{
	const char *at = text;

	do {
		size_t len = strcspn(at, ",");

		if (!add_port(at, len, target))
			return complain("PORT: '%s': write ports like 443,8443:443, at most 32; on "
					"this host's own address TARGET%s", text,
					" needs another port than we listen on");
		at += len + (at[len] == ',');
	} while (*at);
	return 0;
}

static int check(int argc, char **argv, bool lenient)
{
	struct options *options = &forwarding.options;
	char error[OPTION_ERROR_MAX];
	const char *no_error;
	union addr target;

	if (options_parse(options, 'W', argc, argv, lenient, error) < 0)
		return complain("%s%s", error, "");
	if (features_parse(options->features) < 0)
		return complain("RINGFENCE_FEATURES: '%s' is no list of features%s",
				options->features, "");
	if (log_open(options->log_level, options->log_format == LOG_FORMAT_JSON,
		     options->no_color, options->log_file, NULL) < 0)
		return complain("LOG_FILE: %s cannot be opened%s", options->log_file, "");
	if (find_target(options->target, &target) || add_ports(options->forward_ports, &target))
		return 1;
	forwarding.settings.destination_check = DESTINATION_OFF;
	forwarding.settings.splice = features.splice;
	forwarding.settings.connect_timeout_ms = options->connect_timeout;
	forwarding.settings.idle_timeout_ms = options->idle_timeout;
	forwarding.settings.open = forwarding.open;
	return resolver_configure("127.0.0.1:53", NULL, &no_error) < 0;
}

static void log_events(void)
{
	struct event event;

	for (unsigned i = 0; i < forwarding.workers.count; i++)
		while (event_take(forwarding.workers.all[i].events, &event))
			event_log(&event);
}

/* Log what workers tell until SIGTERM or SIGINT. */
static void serve(const sigset_t *signals)
{
	struct timespec pause = { .tv_nsec = 200 * 1000000L };

	while (sigtimedwait(signals, NULL, &pause) < 0)
		log_events();
}

int job_forward(int argc, char **argv, bool lenient)
{
	unsigned count;
	sigset_t signals;
	int err;

	if (check(argc, argv, lenient) != 0)
		return 1;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	count = forwarding.options.workers ? forwarding.options.workers :
					     (unsigned)worker_count("auto");
	forwarding.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	forwarding.job = filter_job;
	forwarding.job.context = &forwarding.settings;
	err = workers_start(&forwarding.workers, count, &forwarding.job, forwarding.event_fd);
	if (err < 0)
		return complain("cannot listen on PORT: %s%s", strerror(-err), "");
	log_info("startup.ready", log_str("mode", "forward"), log_uint("workers", count));
	serve(&signals);
	workers_stop(&forwarding.workers);
	log_events();
	workers_finish(&forwarding.workers);
	close(forwarding.event_fd);
	quiet_reclaim();
	log_close();
	return EXIT_SIGTERM;
}
