/* forward_start.c - what `ringfence forward` was told: read, checked, tried. */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/features.h"
#include "core/log.h"
#include "jobs/forward.h"

enum { BIND_TRIES = 100, BIND_PAUSE_MS = 10 };

int forward_complain(const char *format, ...)
{
	char line[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	fprintf(stderr, "ringfence: %s\n", line);
	return 1;
}

/* Words into settings; -EINVAL with the line in error. */
static int parse(struct forwarding *forwarding, char error[FORWARD_ERROR_MAX])
{
	const struct options *options = &forwarding->options;
	struct forward_settings *forward = &forwarding->forward;
	int err;

	if ((err = forward_target_parse(options->target, forward, error)) < 0 ||
	    (err = forward_mode(options->mode, forward, error)) < 0 ||
	    (err = forward_ports_parse(options->forward_ports, forward, error)) < 0 ||
	    (err = forward_allow_from_parse(options->allow_from, forward, error)) < 0)
		return err;
	for (unsigned i = 0; i < forward->port_count; i++)
		limit_init(&forward->ports[i].limit, options->forward_conns_max);
	forward->udp_answers = options->udp_answers == UDP_ANSWERS_PASS;
	forward->udp_timeout_ms = options->udp_timeout;
	forward->half_close_timeout_ms = options->half_close_timeout;
	forward->send_proxy = options->send_proxy == SEND_PROXY_V1 ? 1 :
			      options->send_proxy == SEND_PROXY_V2 ? 2 : 0;
	forward->verbose = (unsigned)options->verbose;
	if (forward->udp && forward->send_proxy != 0) {
		snprintf(error, FORWARD_ERROR_MAX, "SEND_PROXY: there is no such header in UDP: "
			 "set it to off, or MODE to tcp");
		return -EINVAL;
	}
	return 0;
}

static void settings_from_options(struct forwarding *forwarding)
{
	const struct options *options = &forwarding->options;

	forwarding->settings = (struct filter_settings){
		.forward = &forwarding->forward,
		.destination_check = DESTINATION_OFF,
		.splice = features.splice,
		.connect_timeout_ms = options->connect_timeout,
		.idle_timeout_ms = options->forward_idle_timeout,
		.keepalive_ms = options->tcp_keepalive,
	};
}

/* The lines that docker-whitelist's users look for. */
static void tell_ports(const struct forwarding *forwarding)
{
	static const char *const modes[] = {
		[MODE_TCP] = "tcp", [MODE_TCP4] = "tcp4", [MODE_TCP6] = "tcp6",
		[MODE_UDP] = "udp", [MODE_UDP4] = "udp4", [MODE_UDP6] = "udp6",
	};
	const struct forward_settings *forward = &forwarding->forward;
	const struct options *options = &forwarding->options;
	char line[FORWARD_SOCAT_MAX];

	for (unsigned i = 0; i < forward->port_count; i++)
		fprintf(stderr, "INFO:root:Executing: socat %s\n",
			forward_socat(forward, &forward->ports[i], modes[options->mode],
				      options->forward_conns_max, line));
}

int forward_read(struct forwarding *forwarding, int argc, char **argv, bool lenient)
{
	struct options *options = &forwarding->options;
	char error[OPTION_ERROR_MAX];
	int err, status;

	static_assert((int)FORWARD_ERROR_MAX <= (int)OPTION_ERROR_MAX, "one buffer for both");
	if (options_parse(options, 'W', argc, argv, lenient, error) < 0)
		return forward_complain("%s", error);
	if (features_parse(options->features) < 0)
		return forward_complain("RINGFENCE_FEATURES: write auto, none, or a list like "
					"-recv-multishot,recv=7");
	err = log_open(options->log_level, options->log_format == LOG_FORMAT_JSON,
		       options->no_color, options->log_file, NULL);
	if (err < 0)
		return forward_complain("cannot open LOG_FILE=%s: %s", options->log_file,
					strerror(-err));
	if (parse(forwarding, error) < 0)
		return forward_complain("%s", error);
	settings_from_options(forwarding);
	event_log_verbose(forwarding->forward.verbose > 0);
	if ((status = forward_target_find(forwarding)) != 0)
		return status;
	tell_ports(forwarding);
	for (unsigned i = 0; i < options->warning_count; i++)
		log_warn("config.invalid", log_str("note", options->warnings[i]));
	return 0;
}

static union addr any_addr(sa_family_t family, uint16_t port)
{
	union addr addr = { .sa.sa_family = family };

	addr_set_port(&addr, port);
	return addr;
}

/* Without SO_REUSEPORT, so that another instance of us is found too. */
static int try_bind(const union addr *addr, bool udp)
{
	int fd = socket(addr->sa.sa_family, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	int one = 1, err = 0;

	if (fd < 0)
		return -errno;
	if (!udp)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (addr->sa.sa_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, &addr->sa, addr_len(addr)) < 0 || (!udp && listen(fd, 1) < 0))
		err = -errno;
	close(fd);
	return err;
}

/* A killed instance's ring lets go of its sockets late: *tries are for all ports together. */
static int try_patiently(const union addr *addr, bool udp, unsigned *tries)
{
	struct timespec pause = { .tv_nsec = BIND_PAUSE_MS * 1000000L };
	int err;

	while ((err = try_bind(addr, udp)) == -EADDRINUSE && *tries > 0) {
		(*tries)--;
		nanosleep(&pause, NULL);
	}
	return err;
}

static bool is_without_ipv6(int err)
{
	return err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL;
}

/* Both families that are to be listened on, where the host has them. */
static int try_port(struct forwarding *forwarding, struct forward_port *port, unsigned *tries)
{
	static const sa_family_t families[] = { AF_INET, AF_INET6 };
	sa_family_t wanted = forwarding->forward.listen_family;
	struct filter_settings *settings = &forwarding->settings;
	unsigned begun = settings->listener_count;

	for (unsigned i = 0; i < ARRAY_LEN(families); i++) {
		union addr addr = any_addr(families[i], port->listen);
		int err;

		if (wanted != AF_UNSPEC && wanted != families[i])
			continue;
		err = try_patiently(&addr, forwarding->forward.udp, tries);
		if (err < 0 && families[i] == AF_INET6 && wanted == AF_UNSPEC &&
		    is_without_ipv6(err))
			continue;
		if (err < 0) {
			settings->listener_count = begun;
			return err;
		}
		forwarding->listeners[settings->listener_count++] =
			(struct filter_listener){ .addr = addr, .kind = CONN_PLAIN, .port = port };
	}
	return 0;
}

static const char *bind_advice(int err)
{
	if (err == -EADDRINUSE)
		return ": another program listens there: stop it, or map another port in PORT, "
		       "like 8080:80";
	if (err == -EACCES)
		return ": ports below 1024 need root or CAP_NET_BIND_SERVICE";
	return "";
}

int forward_ports_try(struct forwarding *forwarding)
{
	struct forward_settings *forward = &forwarding->forward;
	unsigned tries = BIND_TRIES, failed = 0;
	const struct forward_port *first = NULL;

	forwarding->listeners = calloc(2 * forward->port_count, sizeof(*forwarding->listeners));
	if (!forwarding->listeners)
		return forward_complain("no memory for PORT");
	forwarding->settings.listeners = forwarding->listeners;
	for (unsigned i = 0; i < forward->port_count; i++) {
		struct forward_port *port = &forward->ports[i];

		port->error = try_port(forwarding, port, &tries);
		failed += port->error < 0;
		if (port->error < 0 && !first)
			first = port;
	}
	if (failed == forward->port_count)
		return forward_complain("PORT: cannot listen on port %u%s: %s%s", first->listen,
					failed > 1 ? " or any other" : "",
					strerror(-first->error), bind_advice(first->error));
	for (unsigned i = 0; i < forward->port_count && failed > 0; i++)
		if (forward->ports[i].error < 0)
			log_error("forward.listen_failed",
				  log_uint("port", forward->ports[i].listen),
				  log_str("err", strerror(-forward->ports[i].error)),
				  log_str("note", "the other ports go on without it"));
	return 0;
}
