/* load.c - the load generator: options, phases, and the result as one line of JSON.
 *
 *     load --connect 127.0.0.1:7001 --listen 127.0.0.1:9000 --ping 64 --size 1024
 *
 * Exit code 1 when anything was lost, wrong, refused or stalled. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/load.h"

struct load load = {
	.options = { .size = 64, .warmup_ms = 100, .window_ms = 700, .way = WAY_DOWN },
};
unsigned char load_pattern[2 * PATTERN_BYTES];

void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(2);
}

void netns_enter(const char *path)
{
	if (path == NULL)
		return;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		die(path);
	close(fd);
}

uint64_t load_clock_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

void load_error(const char *what, int error)
{
	if (load.errors++ == 0)
		snprintf(load.first_error, sizeof(load.first_error), "%s%s%s", what,
			 error ? ": " : "", error ? strerror(error) : "");
}

/* Histogram */

static uint32_t bucket_of(uint64_t ns)
{
	if (ns < HISTOGRAM_STEPS)
		return (uint32_t)ns;
	uint32_t power = 63 - (uint32_t)__builtin_clzll(ns);
	uint32_t bucket = (power - 5) * HISTOGRAM_STEPS +
			  (uint32_t)(ns >> (power - 6)) - HISTOGRAM_STEPS;
	return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The middle of a bucket. */
static double bucket_ns(uint32_t bucket)
{
	if (bucket < HISTOGRAM_STEPS)
		return bucket;
	uint32_t power = bucket / HISTOGRAM_STEPS + 5;
	double step = (double)(1ull << (power - 6));
	return (bucket % HISTOGRAM_STEPS + HISTOGRAM_STEPS + 0.5) * step;
}

static double percentile_us(double share)
{
	uint64_t total = 0, seen = 0;

	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		total += load.latency[i];
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += load.latency[i];
		if (seen > 0 && (double)seen >= share * (double)total)
			return bucket_ns(i) / 1000;
	}
	return 0;
}

void load_op(uint64_t since_ns, uint64_t now_ns)
{
	load.now.ops++;
	if (load.phase == PHASE_MEASURE)
		load.latency[bucket_of(now_ns - since_ns)]++;
}

/* Phases */

static struct counters counters_now(void)
{
	struct counters counters = load.now;

	counters.proxy_cpu_ns = cpu_proxy_ns(load.options.cpu);
	counters.own_cpu_ns = cpu_own_ns();
	counters.others_cpu_ns = (int64_t)cpu_machine_ns();
	counters.wall_ns = load_clock_ns();
	return counters;
}

static void window_end(void)
{
	struct counters end = counters_now(), *begun = &load.begun, *window = &load.window;

	window->bytes = end.bytes - begun->bytes;
	window->ops = end.ops - begun->ops;
	window->sent = end.sent - begun->sent;
	window->proxy_cpu_ns = end.proxy_cpu_ns - begun->proxy_cpu_ns;
	window->own_cpu_ns = end.own_cpu_ns - begun->own_cpu_ns;
	window->wall_ns = end.wall_ns - begun->wall_ns;
	window->others_cpu_ns = end.others_cpu_ns - begun->others_cpu_ns -
				(int64_t)(window->proxy_cpu_ns + window->own_cpu_ns);
}

void load_tick(bool ready, uint64_t now_ns)
{
	if (load.phase == PHASE_OPEN && ready) {
		load.phase = PHASE_WARMUP;
		load.phase_ends_ns = now_ns + load.options.warmup_ms * 1000000ull;
	} else if (load.phase == PHASE_WARMUP && now_ns >= load.phase_ends_ns) {
		load.phase = PHASE_MEASURE;
		load.begun = counters_now();
		load.phase_ends_ns = load.begun.wall_ns + load.options.window_ms * 1000000ull;
	} else if (load.phase == PHASE_MEASURE && now_ns >= load.phase_ends_ns) {
		window_end();
		load.phase = PHASE_DRAIN;
	}
}

static void print_result(void)
{
	const struct counters *window = &load.window;

	printf("{\"seconds\": %.6f, \"bytes\": %llu, \"ops\": %llu, \"sent\": %llu, "
	       "\"proxy_cpu\": %.6f, \"own_cpu\": %.6f, \"others_cpu\": %.3f, "
	       "\"p50_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": %.2f, "
	       "\"errors\": %llu, \"first_error\": \"%s\"}\n",
	       (double)window->wall_ns / 1e9, (unsigned long long)window->bytes,
	       (unsigned long long)window->ops, (unsigned long long)window->sent,
	       (double)window->proxy_cpu_ns / 1e9, (double)window->own_cpu_ns / 1e9,
	       (double)window->others_cpu_ns / 1e9, percentile_us(0.5), percentile_us(0.99),
	       percentile_us(0.999), (unsigned long long)load.errors, load.first_error);
}

/* Options */

static struct sockaddr_in parse_addr(const char *text)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	const char *colon = strchr(text, ':');
	char host[INET_ADDRSTRLEN];

	errno = EINVAL;
	if (colon == NULL || colon - text >= (ptrdiff_t)sizeof(host))
		die(text);
	snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	addr.sin_port = htons((uint16_t)atoi(colon + 1));
	if (inet_pton(AF_INET, host, &addr.sin_addr) != 1 || addr.sin_port == 0)
		die(text);
	return addr;
}

static enum way parse_way(const char *text)
{
	static const char *const names[] = { [WAY_DOWN] = "down", [WAY_UP] = "up",
					     [WAY_BOTH] = "both" };

	for (uint32_t i = WAY_DOWN; i < ARRAY_LEN(names); i++)
		if (strcmp(text, names[i]) == 0)
			return (enum way)i;
	errno = EINVAL;
	die(text);
	return WAY_DOWN;
}

static void parse_options(int argc, char **argv)
{
	struct options *options = &load.options;
	struct { const char *name; uint32_t *number; } const numbers[] = {
		{ "bulk", &options->bulk }, { "ping", &options->ping },
		{ "short", &options->shorts }, { "idle", &options->idle },
		{ "udp", &options->udp }, { "size", &options->size },
		{ "train", &options->train }, { "warmup-ms", &options->warmup_ms },
		{ "window-ms", &options->window_ms },
	};
	struct { const char *name; const char **text; } const texts[] = {
		{ "client-netns", &options->client_netns },
		{ "server-netns", &options->server_netns },
		{ "hello", &options->hello_path }, { "cpu", &options->cpu },
	};

	for (int i = 1; i < argc; i++) {
		const char *name = argv[i] + 2, *value = argv[i + 1];
		bool known = strncmp(argv[i], "--", 2) == 0;

		errno = EINVAL;
		if (strcmp(argv[i], "--hold") == 0) {
			options->hold = true;
			continue;
		}
		if (!known || value == NULL)
			die(argv[i]);
		known = false;
		for (uint32_t k = 0; k < ARRAY_LEN(numbers); k++)
			if (strcmp(name, numbers[k].name) == 0) {
				*numbers[k].number = (uint32_t)strtoul(value, NULL, 10);
				known = true;
			}
		for (uint32_t k = 0; k < ARRAY_LEN(texts); k++)
			if (strcmp(name, texts[k].name) == 0) {
				*texts[k].text = value;
				known = true;
			}
		if (strcmp(name, "connect") == 0)
			options->connect_to = parse_addr(value);
		else if (strcmp(name, "listen") == 0)
			options->listen_on = parse_addr(value);
		else if (strcmp(name, "way") == 0)
			options->way = parse_way(value);
		else if (strcmp(name, "bulk-gbps") == 0)
			options->bulk_gbps = strtod(value, NULL);
		else if (!known)
			die(argv[i]);
		i++;
	}
	errno = EINVAL;
	if (options->connect_to.sin_port == 0 || options->listen_on.sin_port == 0)
		die("--connect and --listen are needed");
	if (options->size == 0 || options->size > PATTERN_BYTES)
		die("--size");
}

int main(int argc, char **argv)
{
	uint32_t random = 1;

	parse_options(argc, argv);
	for (uint32_t i = 0; i < PATTERN_BYTES; i++) {
		random = random * 1664525 + 1013904223;
		load_pattern[i] = load_pattern[i + PATTERN_BYTES] = (unsigned char)(random >> 24);
	}
	if (load.options.udp > 0)
		udp_run();
	else
		tcp_run();
	if (load.phase != PHASE_DRAIN)
		load_error("never got as far as measuring", 0);
	print_result();
	return load.errors > 0;
}
