/* event_json.c - an event as JSON. */
#include "dashboard/event_json.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "core/log_text.h"

#define NS_PER_S UINT64_C(1000000000)

enum { FIELDS_MAX = 40, TIME_MAX = 48 };

bool event_is_shipped(const struct event *event)
{
	return event_is_decision(event->kind) ||
	       (event_is_end(event->kind) && event->dialled.sa.sa_family != 0);
}

/* RFC3339Nano, UTC. */
static void print_time(uint64_t time_ns, char out[TIME_MAX])
{
	time_t seconds = (time_t)(time_ns / NS_PER_S);
	char text[24];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out, TIME_MAX, "%s.%09uZ", text, (unsigned)(time_ns % NS_PER_S));
}

/* Fields by key. */
struct sorted {
	const struct log_field *fields[FIELDS_MAX];
	unsigned count;
};

static void add(struct sorted *sorted, const struct log_field *field)
{
	unsigned at = sorted->count++;

	assert(sorted->count <= FIELDS_MAX);
	for (; at > 0 && strcmp(sorted->fields[at - 1]->key, field->key) > 0; at--)
		sorted->fields[at] = sorted->fields[at - 1];
	sorted->fields[at] = field;
}

/* On its own: with nothing in it, it says nothing. */
static bool is_empty(const struct log_field *field)
{
	return field->type == LOG_STR && field->text.len == 0;
}

static void put_value(struct line *line, const struct log_field *field)
{
	char text[32];

	switch (field->type) {
	case LOG_STR:
		line_put_json(line, field->text);
		return;
	case LOG_INT:
		snprintf(text, sizeof(text), "%" PRId64, field->signed_number);
		break;
	case LOG_HEX:
		snprintf(text, sizeof(text), "\"%" PRIx64 "\"", field->number);
		break;
	case LOG_BOOL:
		snprintf(text, sizeof(text), "%s", field->number ? "true" : "false");
		break;
	default:
		snprintf(text, sizeof(text), "%" PRIu64, field->number);
		break;
	}
	line_put(line, text);
}

size_t event_json(const struct event *event, const struct event_origin *origin,
		  char out[EVENT_JSON_MAX])
{
	struct line line = { out, out + EVENT_JSON_MAX };
	struct sorted sorted = { 0 };
	struct event_row row;
	const struct log_field *host;
	char when[TIME_MAX];

	print_time(event->time_ns, when);
	event_fields(event, &row);
	host = event_field(&row, "host");

	const struct log_field more[] = {
		log_str("msg", event_text(event->kind)),
		log_str("time", when),
		log_str("producer_time", when),
		log_str("hostname", origin->hostname),
		log_str("version", origin->version),
		log_text("http_host", host ? host->text : ((struct str){ "", 0 })),
		log_uint("conn", event->conn),
	};

	for (unsigned i = 0; i < row.count; i++)
		if (!is_empty(&row.fields[i]))
			add(&sorted, &row.fields[i]);
	for (unsigned i = 0; i < ARRAY_LEN(more); i++)
		if (!is_empty(&more[i]) && !event_field(&row, more[i].key) &&
		    (more[i].type == LOG_STR || more[i].number != 0))
			add(&sorted, &more[i]);
	for (unsigned i = 0; i < sorted.count; i++) {
		line_put(&line, i == 0 ? "{\"" : ",\"");
		line_put(&line, sorted.fields[i]->key);
		line_put(&line, "\":");
		put_value(&line, sorted.fields[i]);
	}
	line_put(&line, "}");
	return (size_t)(line.at - out);
}

/* OpenTelemetry */

/* The names of its semantic conventions, where they mean the same. */
static const struct {
	const char *ours, *theirs;
} attributes[] = {
	{ "source_ip", "source.address" },
	{ "source_port", "source.port" },
	{ "destination_ip", "destination.address" },
	{ "destination_port", "destination.port" },
	{ "https", "server.address" },
	{ "host", "server.address" },
	{ "qname", "dns.question.name" },
	{ "pid", "process.pid" },
	{ "process_name", "process.executable.name" },
	{ "executable", "process.executable.path" },
	{ "cmdline", "process.command_line" },
	{ "err", "error.message" },
};

static const char *attribute_of(const char *key)
{
	for (size_t i = 0; i < ARRAY_LEN(attributes); i++)
		if (strcmp(attributes[i].ours, key) == 0)
			return attributes[i].theirs;
	return key;
}

/* Numbers of 64 bits are texts in OTLP's JSON, as in all of protobuf's. */
static void put_attribute(struct line *line, const char *key, const struct log_field *field)
{
	line_put(line, "{\"key\":\"");
	line_put(line, key);
	if (field->type == LOG_BOOL) {
		line_put(line, "\",\"value\":{\"boolValue\":");
		put_value(line, field);
	} else if (field->type == LOG_UINT || field->type == LOG_INT) {
		line_put(line, "\",\"value\":{\"intValue\":\"");
		put_value(line, field);
		line_put(line, "\"");
	} else {
		line_put(line, "\",\"value\":{\"stringValue\":");
		put_value(line, field);
	}
	line_put(line, "}}");
}

static const struct {
	const char *number, *text;
} severities[] = {
	[LOG_LEVEL_TRACE] = { "1", "TRACE" },
	[LOG_LEVEL_DEBUG] = { "5", "DEBUG" },
	[LOG_LEVEL_INFO] = { "9", "INFO" },
	[LOG_LEVEL_WARN] = { "13", "WARN" },
	[LOG_LEVEL_ERROR] = { "17", "ERROR" },
};

size_t event_otlp(const struct event *event, char out[EVENT_JSON_MAX])
{
	struct line line = { out, out + EVENT_JSON_MAX };
	enum log_level level = event_level(event->kind);
	struct event_row row;
	char when[24];
	bool first = true;

	event_fields(event, &row);
	snprintf(when, sizeof(when), "%" PRIu64, event->time_ns);
	line_put(&line, "{\"timeUnixNano\":\"");
	line_put(&line, when);
	line_put(&line, "\",\"observedTimeUnixNano\":\"");
	line_put(&line, when);
	line_put(&line, "\",\"severityNumber\":");
	line_put(&line, severities[level].number);
	line_put(&line, ",\"severityText\":\"");
	line_put(&line, severities[level].text);
	line_put(&line, "\",\"eventName\":");
	line_put_json(&line, str_of(event_text(event->kind)));
	line_put(&line, ",\"body\":{\"stringValue\":");
	line_put_json(&line, str_of(event_text(event->kind)));
	line_put(&line, "},\"attributes\":[");
	for (unsigned i = 0; i < row.count; i++) {
		if (is_empty(&row.fields[i]) || strcmp(row.fields[i].key, "hostname") == 0)
			continue;
		line_put(&line, first ? "" : ",");
		put_attribute(&line, attribute_of(row.fields[i].key), &row.fields[i]);
		first = false;
	}
	line_put(&line, "]}");
	return (size_t)(line.at - out);
}

size_t event_otlp_head(const struct event_origin *origin, const char *service,
		       char out[EVENT_JSON_MAX])
{
	struct line line = { out, out + EVENT_JSON_MAX };
	const struct log_field resource[] = {
		log_str("service.name", service),
		log_str("service.version", origin->version),
		log_str("service.instance.id", origin->hostname),
		log_str("host.name", origin->hostname),
	};

	line_put(&line, "{\"resourceLogs\":[{\"resource\":{\"attributes\":[");
	for (unsigned i = 0; i < ARRAY_LEN(resource); i++) {
		line_put(&line, i > 0 ? "," : "");
		put_attribute(&line, resource[i].key, &resource[i]);
	}
	line_put(&line, "]},\"scopeLogs\":[{\"scope\":{\"name\":\"ringfence\",\"version\":");
	line_put_json(&line, str_of(origin->version));
	line_put(&line, "},\"logRecords\":[");
	return (size_t)(line.at - out);
}
