/* ship_options.c - DASHBOARD_*, OTEL_*: what they ask for, and what is wrong with them. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "core/hosts.h"
#include "jobs/ship.h"

enum {
	KEY_LEAST = 16, KEY_GOOD = 32, KEY_MOST = 1024, /* bytes */
	MEGABYTE = 1 << 20,
	URL_SHOWN_MAX = 200,
};

static void warn(struct shipping *shipping, const char *text)
{
	if (shipping->warning_count < SHIP_WARNINGS_MAX)
		shipping->warnings[shipping->warning_count++] = text;
}

__attribute__((format(printf, 2, 3)))
static int refuse(char error[OPTION_ERROR_MAX], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, OPTION_ERROR_MAX, format, args);
	va_end(args);
	return -EINVAL;
}

/* A URL as it may stand in a log: without a user's password, and what may be a key behind '?'. */
static const char *shown(const char *url, char out[URL_SHOWN_MAX])
{
	const char *scheme_end = strstr(url, "://"), *user = scheme_end ? scheme_end + 3 : url;
	const char *at = strrchr(user, '@'), *rest = at ? at : user;
	size_t len = strcspn(rest, "?");

	snprintf(out, URL_SHOWN_MAX, "%.*s%s%.*s%s", (int)(user - url), url, at ? "***" : "",
		 (int)len, rest, rest[len] ? "?***" : "");
	return out;
}

static bool is_printable(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return true;
}

/* The name that the dashboard shows: the option's, else the machine's. */
static void read_hostname(struct agent_settings *settings, const struct options *options)
{
	char name[AGENT_NAME_MAX] = "";

	(void)gethostname(name, sizeof(name) - 1);
	text_copy(settings->hostname, sizeof(settings->hostname),
		  options->hostname[0] ? options->hostname : name);
}

static int read_dashboard(struct shipping *shipping, const struct options *options,
			  char error[OPTION_ERROR_MAX])
{
	struct agent_settings *settings = &shipping->settings;
	size_t key_len = strlen(options->dashboard_api_key);
	char why[WEB_ERROR_MAX], url[URL_SHOWN_MAX];

	if (!options->dashboard_host[0])
		return 0;
	if (web_target_parse(&settings->dashboard, options->dashboard_host, why) < 0)
		return refuse(error, "DASHBOARD_HOST: \"%s\" %s",
			      shown(options->dashboard_host, url), why);
	if (key_len > 0 && key_len < KEY_LEAST)
		return refuse(error, "DASHBOARD_API_KEY: a key of %zu bytes can be guessed: use "
			      "one of 32 random bytes or more (openssl rand -hex 32)", key_len);
	if (key_len > KEY_MOST || !is_printable(options->dashboard_api_key))
		return refuse(error, "DASHBOARD_API_KEY: it is longer than %d bytes or has "
			      "characters that no key has", KEY_MOST);
	if (key_len > 0 && key_len < KEY_GOOD)
		warn(shipping, "DASHBOARD_API_KEY has less than 32 bytes: better use a longer one "
		     "(openssl rand -hex 32)");
	if (web_target_is_exposed(&settings->dashboard))
		warn(shipping, "DASHBOARD_HOST is plain http: events and the key can be read on "
		     "the way; to a public address nothing is sent so: use https");
	if (web_target_is_on_loopback(&settings->dashboard))
		warn(shipping, "DASHBOARD_HOST is plain http to this machine, where the workload "
		     "may listen first: it would get events and the key, and with "
		     "ENABLE_REMOTE_UNBLOCK could widen the policy: use unix:/path out of its "
		     "reach, https, or a dashboard in another network namespace");
	settings->ships = true;
	settings->api_key = options->dashboard_api_key;
	settings->queue_size = options->dashboard_queue_size;
	settings->start_delay_ms = options->dashboard_start_delay;
	settings->spool_folder = options->dashboard_spool;
	settings->unblocks = options->enable_remote_unblock && key_len > 0;
	settings->poll_ms = options->unblock_poll_interval;
	settings->spool_bytes = (uint64_t)options->dashboard_spool_max_mb * MEGABYTE;
	return 0;
}

/* "key=value,key=value", values percent-encoded, as OpenTelemetry's specification has it. */
static int read_otlp_headers(struct agent_settings *settings, const char *text,
			     char error[OPTION_ERROR_MAX])
{
	unsigned count = 0;

	for (unsigned number = 1; *text; number++) {
		size_t len = strcspn(text, ",");
		const char *equals = memchr(text, '=', len);
		char value[AGENT_HEADER_MAX / 2];
		size_t key_len = equals ? (size_t)(equals - text) : 0;

		while (key_len > 0 && *text == ' ')
			text++, len--, key_len--;
		if (len > 0 && (key_len == 0 || key_len > 128 ||
				strcspn(text, ":\r\n") < key_len ||
				!url_decode((struct str){ equals + 1, len - key_len - 1 }, value,
					    sizeof(value))))
			/* It is secret, wholly: its '=' may be the one of a key's end. */
			return refuse(error, "OTEL_EXPORTER_OTLP_HEADERS: entry %u is not "
				      "name=value, with blanks and commas escaped as %%20 and "
				      "%%2C", number);
		if (len > 0 && count == AGENT_HEADERS_MAX)
			return refuse(error, "OTEL_EXPORTER_OTLP_HEADERS: more than %d headers",
				      AGENT_HEADERS_MAX);
		if (len > 0)
			snprintf(settings->otlp_headers[count++], AGENT_HEADER_MAX, "%.*s: %s",
				 (int)key_len, text, value);
		text += len + (text[len] == ',');
	}
	return 0;
}

static int read_otlp(struct shipping *shipping, const struct options *options,
		     char error[OPTION_ERROR_MAX])
{
	struct agent_settings *settings = &shipping->settings;
	char why[WEB_ERROR_MAX], url[URL_SHOWN_MAX];

	if (!options->otlp_endpoint[0])
		return 0;
	if (web_target_parse(&settings->otlp, options->otlp_endpoint, why) < 0)
		return refuse(error, "OTEL_EXPORTER_OTLP_ENDPOINT: \"%s\" %s",
			      shown(options->otlp_endpoint, url), why);
	if (web_target_is_exposed(&settings->otlp))
		warn(shipping, "OTEL_EXPORTER_OTLP_ENDPOINT is plain http: events can be read on "
		     "the way; to a public address nothing is sent so: use https");
	if (web_target_is_on_loopback(&settings->otlp))
		warn(shipping, "OTEL_EXPORTER_OTLP_ENDPOINT is plain http to this machine, where "
		     "the workload may listen first and would get the events: use https, or a "
		     "collector in another network namespace");
	settings->exports = true;
	settings->service_name = options->otel_service_name;
	settings->queue_size = options->dashboard_queue_size;
	return read_otlp_headers(settings, options->otlp_headers, error);
}

static int read_urls(struct agent_settings *settings, const char *text,
		     char error[OPTION_ERROR_MAX])
{
	static const char blanks[] = " \t\n";
	char why[WEB_ERROR_MAX];

	for (unsigned number = 1; *(text += strspn(text, blanks)); number++) {
		size_t len = strcspn(text, blanks);
		const char *colon = memchr(text, ':', len);
		int count = notify_parse(settings->services + settings->service_count,
					 NOTIFY_SERVICES_MAX - settings->service_count,
					 (struct str){ text, len }, why);

		/* The rest of it is secret. */
		if (count < 0)
			return refuse(error, "NOTIFICATION_URLS: URL %u (%.*s:...) %s", number,
				      colon && colon - text < 16 ? (int)(colon - text) : 0, text,
				      why);
		settings->service_count += (unsigned)count;
		text += len;
	}
	return 0;
}

static int read_alerts(struct shipping *shipping, const struct options *options,
		       char error[OPTION_ERROR_MAX])
{
	struct agent_settings *settings = &shipping->settings;
	const char *host = options->notification_host, *key = options->notification_key;
	char why[WEB_ERROR_MAX], url[URL_SHOWN_MAX];

	settings->backoff_ms = (uint64_t)options->notification_backoff_seconds * 1000;
	if (!host[0] != !key[0])
		warn(shipping, "NOTIFICATION_HOST and NOTIFICATION_KEY are needed both: no alert "
		     "is sent to Gotify");
	if (host[0] && key[0]) {
		if (notify_gotify(&settings->services[0], host, key, why) < 0)
			return refuse(error, "NOTIFICATION_HOST: \"%s\" %s", shown(host, url),
				      why);
		settings->service_count = 1;
	}
	if (read_urls(settings, options->notification_urls, error) < 0)
		return -EINVAL;
	for (unsigned i = 0; i < settings->service_count; i++) {
		if (!web_target_is_exposed(&settings->services[i].target))
			continue;
		warn(shipping, "alerts go over plain http: they and the key can be read on the "
		     "way; to a public address nothing is sent so: use https");
		break;
	}
	if (notify_ignore_parse(&settings->ignore, options->notification_ignore_domains) > 0)
		warn(shipping, "NOTIFICATION_IGNORE_DOMAINS: an entry with a blank in it, a very "
		     "long one, or one too many was left out");
	return 0;
}

int shipping_read(struct shipping *shipping, const struct options *options,
		  char error[OPTION_ERROR_MAX])
{
	struct agent_settings *settings = &shipping->settings;
	char why[UPSTREAMS_ERROR_MAX];

	settings->version = RINGFENCE_VERSION;
	settings->api_key = settings->spool_folder = settings->service_name = "";
	read_hostname(settings, options);
	if (read_dashboard(shipping, options, error) < 0 ||
	    read_otlp(shipping, options, error) < 0 || read_alerts(shipping, options, error) < 0)
		return -EINVAL;
	if (!agent_is_needed(settings))
		return 0;
	/* Once: the workload may have the same file, write its own address of the dashboard there,
	 * and our connection would be let out. */
	(void)hosts_read("/etc/hosts", &shipping->hosts, &settings->hosts.len);
	settings->hosts.at = shipping->hosts;
	if (upstreams_load(options->dns_upstreams, options->resolv_conf, &settings->servers, why) <
	    0)
		return refuse(error, "%s", why);
	return 0;
}
