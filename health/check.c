/* check.c - the health check of a forward, one look after another. */
#include "health/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/op.h"
#include "core/resolve.h"
#include "health/listening.h"
#include "health/pin.h"

static void say(const char *level, const char *format, va_list args)
{
	fprintf(stderr, "%s:healthcheck:", level);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
}

void check_info(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("INFO", format, args);
	va_end(args);
}

int check_failed(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("ERROR", format, args);
	va_end(args);
	return 1;
}

/* The process: does it answer, and listen on what it was told to? */

/* "['80', '443']" */
static void show_words(const char *text, char *out, size_t size)
{
	size_t len = 0;

	out[len++] = '[';
	for (;;) {
		size_t word_len;

		text += strspn(text, ", \t\r\n\v\f");
		word_len = strcspn(text, ", \t\r\n\v\f");
		if (word_len == 0 || len + word_len + 8 > size)
			break;
		len += (size_t)snprintf(out + len, size - len, "%s'%.*s'", len > 1 ? ", " : "",
					(int)word_len, text);
		text += word_len;
	}
	snprintf(out + len, size - len, "]");
}

static bool is(const struct status_text *status, const char *key, const char *wanted)
{
	struct str value = status_value(status, key);

	return value.at ? str_equal(value, str_of(wanted)) : wanted[0] == '\0';
}

static int check_same(const struct check_plan *plan, const struct status_text *status)
{
	static char ports[PORTS_TEXT_MAX];
	static const char advice[] = "give both the same environment, or restart it";
	struct str theirs = status_value(status, "ports");

	if (!is(status, "job", "forward"))
		return check_failed("what answers at the control socket is no forward: unset "
				    "TARGET, or set CONTROL_SOCKET");
	if (!ports_text(plan->ports, plan->port_count, ports, sizeof(ports)) ||
	    !str_equal(theirs, str_of(ports)))
		return check_failed("PORT is \"%.200s\" here, but the running forward has "
				    "\"%.*s\": %s", ports, (int)(theirs.len < 200 ? theirs.len :
				    200), theirs.at ? theirs.at : "", advice);
	if (!is(status, "mode", plan->mode))
		return check_failed("MODE is %s here, but another in the running forward: %s",
				    plan->mode, advice);
	if (!is(status, "target", plan->target))
		return check_failed("TARGET is %s here, but another in the running forward: %s",
				    plan->target, advice);
	return 0;
}

/* Somebody listens there, but not we: /proc/net cannot tell, the running forward does. */
static int check_failed_ports(const struct status_text *status)
{
	struct str failed = status_value(status, "failed");

	if (!failed.at)
		return 0;
	return check_failed("Missing listener for port: %.*s (its log says why)",
			    (int)(failed.len < 200 ? failed.len : 200), failed.at);
}

static int check_listening(const struct check_plan *plan)
{
	static struct listening listening;
	int err = listening_read(&listening, plan->udp, false);

	(void)listening_read(&listening, plan->udp, true);
	if (err < 0)
		return check_failed("/proc/net cannot be read (%s): mount /proc", strerror(-err));
	for (unsigned i = 0; i < plan->port_count; i++)
		if (!listening_on(&listening, plan->ports[i].listen))
			return check_failed("Missing listener for port: %u (its log says why)",
					    plan->ports[i].listen);
	return 0;
}

static int check_process(const struct check_plan *plan, struct status_text *status)
{
	char error[STATUS_ERROR_MAX], words[2048];

	show_words(plan->port_words, words, sizeof(words));
	check_info("checking the listener of port(s) %s", words);
	if (status_read(&plan->place, CHECK_PATIENCE_MS, status, error) < 0)
		return check_failed("%s", error);
	if (check_same(plan, status) != 0 || check_failed_ports(status) != 0)
		return 1;
	return check_listening(plan);
}

/* The pinned address */

/* As Python's tempfile chooses it, by which docker-whitelist's path is made. */
static const char *note_path(char *out, size_t size)
{
	static const char *const variables[] = { "TMPDIR", "TEMP", "TMP" };
	const char *folder = NULL;

	for (unsigned i = 0; i < ARRAY_LEN(variables); i++) {
		folder = getenv(variables[i]);
		if (folder && folder[0] && access(folder, W_OK | X_OK) == 0)
			break;
		folder = NULL;
	}
	snprintf(out, size, "%s/load_balancing_dns_detected", folder ? folder : "/tmp");
	return out;
}

static int tell_balanced(const struct check_plan *plan, const struct pin *pin, uint64_t started_ms)
{
	char sets[2][PIN_TEXT_MAX], path[4096];
	int err = pin_note_write(note_path(path, sizeof(path)), plan->target, started_ms);

	check_info("%s seems to be load-balancing with dns (%s != %s), deactivating the resolver "
		   "healthcheck", plan->target, pin_set_text(&pin->earlier, sets[0]),
		   pin_set_text(&pin->latest, sets[1]));
	if (err < 0)
		check_info("%s cannot be written (%s): the next check will ask again", path,
			   strerror(-err));
	return 0;
}

static int check_pin(const struct check_plan *plan, const struct status_text *status)
{
	struct str pinned = status_value(status, "pinned");
	char path[4096], sets[2][PIN_TEXT_MAX], ip[ADDR_TEXT_MAX];
	static struct resolve_answer answer;
	static struct pin pin;
	enum pin_verdict verdict;
	uint64_t started_ms = 0;
	union addr addr;
	int err;

	if (!addr_parse(pinned, &addr))
		return check_failed("PRE_RESOLVE=1 here, but the running forward pinned no "
				    "address: give both the same environment, or restart it");
	(void)status_number(status, "started", &started_ms);
	if (pin_note_holds(note_path(path, sizeof(path)), plan->target, started_ms))
		return 0;
	pin_init(&pin, &addr);
	do {
		err = resolve_now(plan->nameservers, plan->name, addr.sa.sa_family, &answer);
		if (err < 0)
			return check_failed("%s cannot be resolved: %s", plan->target,
					    strerror(-err));
		if (answer.failed || answer.no_name)
			return check_failed("%s cannot be resolved: %s", plan->target,
					    answer.no_name ? "there is no such name" :
							     "no answer of NAMESERVERS");
		verdict = pin_judge(&pin, answer.addrs, answer.count);
	} while (verdict == PIN_ASK_AGAIN);
	if (verdict == PIN_BALANCED)
		return tell_balanced(plan, &pin, started_ms);
	if (verdict == PIN_STALE)
		return check_failed("%s no longer resolves to %s, %s, %s", plan->target,
				    addr_format_ip(&addr, ip), pin_set_text(&pin.earlier, sets[0]),
				    pin_set_text(&pin.latest, sets[1]));
	return 0;
}

/* Probes */

struct limited_probe {
	struct probe probe;
	const struct check_plan *plan;
	bool parked;
};

/* Nobody answered.  Did our own connection wait for another to end?  Asked before it ends. */
static void on_unanswered(struct probe *probe)
{
	struct limited_probe *one = container_of(probe, struct limited_probe, probe);
	static struct status_text now;
	char error[STATUS_ERROR_MAX];

	one->parked = status_read(&one->plan->place, CHECK_PATIENCE_MS, &now, error) == 0 &&
		      ports_have(status_value(&now, "waited_for"), probe->port);
}

static int skipped(enum probe_kind kind, uint16_t port)
{
	check_info("the %s check is skipped: all MAX_CONNECTIONS of port %u are in use",
		   probe_kind_text(kind), port);
	return 0;
}

static void announce(enum probe_kind kind, const char *url)
{
	check_info("checking %s via " PROBE_ADDRESS, url);
	if (kind == PROBE_HTTP)
		printf("checking %s via " PROBE_ADDRESS "\n", url);
	(void)fflush(stdout);
}

static int check_probe(const struct check_plan *plan, enum probe_kind kind,
		       const struct status_text *status)
{
	struct limited_probe one = { .plan = plan };
	const char *why = "";
	char error[PROBE_ERROR_MAX];
	const struct curl *curl;
	CURLcode code;

	if (plan->udp) {
		fprintf(stderr, "WARNING:healthcheck:the %s check is skipped: MODE=%s\n",
			probe_kind_text(kind), plan->mode);
		return 0;
	}
	curl = curl_load(&why);
	if (!curl)
		return check_failed("%s", why);
	if (probe_open(&one.probe, curl, plan->probes[kind], stdout, error) < 0)
		return check_failed("%s", error);
	if (ports_have(status_value(status, "full"), one.probe.port)) {
		probe_close(&one.probe);
		return skipped(kind, one.probe.port);
	}
	if (is(status, "probes", "refused")) {
		probe_close(&one.probe);
		return check_failed("ALLOW_FROM does not name " PROBE_ADDRESS ", where health "
				    "checks come from: add it");
	}
	announce(kind, one.probe.url);
	one.probe.on_unanswered = on_unanswered;
	code = curl->easy_perform(one.probe.easy);
	(void)fflush(stdout);
	probe_failure(&one.probe, code, error);
	probe_close(&one.probe);
	if (code == CURLE_OK)
		return 0;
	return one.parked ? skipped(kind, one.probe.port) : check_failed("%s", error);
}

int check_forward(const struct check_plan *plan)
{
	static struct status_text status;

	if (check_process(plan, &status) != 0)
		return 1;
	if (plan->name.len > 0 && check_pin(plan, &status) != 0)
		return 1;
	for (unsigned i = 0; i < PROBE_KINDS; i++)
		if (plan->probes[i] && check_probe(plan, (enum probe_kind)i, &status) != 0)
			return 1;
	return 0;
}
