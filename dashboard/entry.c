/* entry.c - payload item <-> struct entry <-> store.  Spec g0efilter 13.3. */
#include "dashboard/entry.h"

#include <errno.h>
#include <stdlib.h>

#include "dashboard/ends.h"
#include "dashboard/rfc3339.h"

const char *const verdict_words[VERDICT_COUNT] = { "ALLOWED", "BLOCKED", "AUDIT" };

/* Top-level keys that do not become fields. */
static const char *const not_fields[] = { "msg", "time", "fields", "producer_time", "id",
					  "remote_ip" };

/* Fields that belong to the subject when they are texts: few values, many events.  Also the order
 * in which they are searched. */
static const char *const subject_keys[] = {
	"http_host", "host", "https", "qname", "domain", "hostname", "source_ip", "destination_ip",
	"reason", "action", "component", "protocol", "policy_hit", "tenant_id", "qtype", "rcode",
	"note", "rule", "version", "process_name", "executable", "upstream",
};
enum { SUBJECT_TEXT_MAX = 512 };

static const char *const host_keys[] = { "host", "http_host", "https", "qname", "hostname",
					 "domain" };

static struct str trim(struct str text)
{
	while (text.len > 0 && strchr(" \t\r\n", text.at[0])) {
		text.at++;
		text.len--;
	}
	while (text.len > 0 && strchr(" \t\r\n", text.at[text.len - 1]))
		text.len--;
	return text;
}

static struct str text_of(const json_t *value)
{
	if (!json_is_string(value))
		return (struct str){ NULL, 0 };
	return (struct str){ json_string_value(value), json_string_length(value) };
}

bool verdict_parse(struct str text, enum verdict *verdict)
{
	text = trim(text);
	for (unsigned i = 0; i < VERDICT_COUNT; i++) {
		if (str_equal_nocase(text, str_of(verdict_words[i]))) {
			*verdict = (enum verdict)i;
			return true;
		}
	}
	return false;
}

static bool contains_nocase(struct str text, struct str word)
{
	for (size_t i = 0; i + word.len <= text.len; i++)
		if (str_equal_nocase((struct str){ text.at + i, word.len }, word))
			return true;
	return false;
}

bool host_text_ok(struct str text)
{
	if (text.len > 255 || (text.len > 0 && (text.at[0] == '-' || text.at[0] == '.')))
		return false;
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] < ' ' || text.at[i] > '~')
			return false;
	return !contains_nocase(text, STR("..")) && !contains_nocase(text, STR("<script"));
}

static bool is_one_of(const char *key, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(key, list[i]) == 0)
			return true;
	return false;
}

struct str entry_text(const struct entry *entry, const char *key)
{
	return text_of(json_object_get(entry->fields, key));
}

static struct str first_of(const struct entry *entry, const char *const *keys, size_t count)
{
	struct str text = { NULL, 0 };

	for (size_t i = 0; i < count && text.len == 0; i++)
		text = entry_text(entry, keys[i]);
	return text;
}

struct str entry_name(const struct entry *entry)
{
	static const char *const keys[] = { "http_host", "host", "https", "qname" };

	return first_of(entry, keys, ARRAY_LEN(keys));
}

/* 0 when it is not there or no number. */
static int64_t number_of(const struct entry *entry, const char *key)
{
	const json_t *value = json_object_get(entry->fields, key);
	double real;

	if (json_is_integer(value))
		return json_integer_value(value);
	if (!json_is_real(value))
		return 0;
	real = json_real_value(value);
	return real > -9e18 && real < 9e18 ? (int64_t)real : 0;
}

/* A number that sums can be made of: no event has a negative one, or one beyond all networks. */
static int64_t sane_number_of(const struct entry *entry, const char *key)
{
	int64_t number = number_of(entry, key);

	if (number < 0)
		return 0;
	return number < ENTRY_NUMBER_MAX ? number : ENTRY_NUMBER_MAX;
}

/* The nested fields, the top-level ones over them, without what says nothing. */
json_t *entry_merge_fields(const json_t *item)
{
	const json_t *nested = json_object_get(item, "fields");
	json_t *fields = json_object(), *value;
	const char *key;

	if (json_is_object(nested) && json_object_update(fields, (json_t *)(uintptr_t)nested) < 0)
		goto fail;
	json_object_foreach((json_t *)(uintptr_t)item, key, value) {
		if (is_one_of(key, not_fields, ARRAY_LEN(not_fields)) || json_is_null(value) ||
		    (json_is_string(value) && json_string_length(value) == 0))
			continue;
		if (json_object_set(fields, key, value) < 0)
			goto fail;
	}
	for (size_t i = 0; i < ARRAY_LEN(host_keys); i++) {
		const json_t *host = json_object_get(fields, host_keys[i]);

		if (json_is_string(host) && !host_text_ok(text_of(host)) &&
		    json_object_set_new(fields, host_keys[i], json_string("[invalid]")) < 0)
			goto fail;
	}
	return fields;
fail:
	json_decref(fields);
	return NULL;
}

/* http and https go over TCP, dns over UDP, where the agent does not say. */
static void derive_protocol(struct entry *entry)
{
	struct str component = entry_text(entry, "component");
	const char *protocol = NULL;

	if (entry_text(entry, "protocol").len > 0)
		return;
	if (str_equal(component, STR("http")) || str_equal(component, STR("https")))
		protocol = "TCP";
	else if (str_equal(component, STR("dns")))
		protocol = "UDP";
	if (protocol)
		(void)json_object_set_new(entry->fields, "protocol", json_string(protocol));
}

bool entry_init(struct entry *entry, const json_t *item, const char *remote, int64_t now_ns)
{
	static const char own[] = "_dashboard_";
	struct str msg = text_of(json_object_get(item, "msg"));
	const json_t *action = json_object_get(item, "action");

	*entry = (struct entry){ .time_ns = now_ns };
	text_copy(entry->remote, sizeof(entry->remote), remote);
	if (msg.len == 0 ||
	    (msg.len >= sizeof(own) - 1 && memcmp(msg.at, own, sizeof(own) - 1) == 0) ||
	    !verdict_parse(text_of(action), &entry->verdict))
		return false;
	(void)rfc3339_parse(text_of(json_object_get(item, "time")), &entry->time_ns);
	entry->msg = json_incref(json_object_get(item, "msg"));
	entry->fields = entry_merge_fields(item);
	if (!entry->fields)
		return false;
	if (json_object_set_new(entry->fields, "action",
				json_string(verdict_words[entry->verdict])) < 0)
		return false;
	derive_protocol(entry);
	if (entry->verdict != VERDICT_BLOCKED && !json_object_get(entry->fields, "duration_ms"))
		entry->link = end_link(entry->fields);
	return true;
}

void entry_finish(struct entry *entry)
{
	json_decref(entry->msg);
	json_decref(entry->fields);
	entry->msg = entry->fields = NULL;
}

static void member_number(const struct entry *entry, struct out *out, const char *key)
{
	int64_t number = number_of(entry, key);

	if (number != 0)
		out_member_int(out, key, number);
}

void entry_json(const struct entry *entry, struct out *out)
{
	static const char *const hosts[] = { "http_host", "host" };

	out_put(out, "{", 1);
	if (entry->id != 0)
		out_member_int(out, "id", entry->id);
	out_member_time(out, "time", entry->time_ns);
	out_key(out, "msg");
	out_json_str(out, text_of(entry->msg));
	if (json_object_size(entry->fields) > 0) {
		out_key(out, "fields");
		out_json(out, entry->fields);
	}
	out_member(out, "remote_ip", str_of(entry->remote));
	out_member(out, "action", str_of(verdict_words[entry->verdict]));
	out_member(out, "source_ip", entry_text(entry, "source_ip"));
	member_number(entry, out, "source_port");
	out_member(out, "destination_ip", entry_text(entry, "destination_ip"));
	member_number(entry, out, "destination_port");
	out_member(out, "protocol", entry_text(entry, "protocol"));
	out_member(out, "policy_hit", entry_text(entry, "policy_hit"));
	member_number(entry, out, "payload_len");
	out_member(out, "https", entry_name(entry));
	out_member(out, "http_host", first_of(entry, hosts, ARRAY_LEN(hosts)));
	out_member(out, "tenant_id", entry_text(entry, "tenant_id"));
	out_member(out, "flow_id", entry_text(entry, "flow_id"));
	out_member(out, "hostname", entry_text(entry, "hostname"));
	out_member(out, "src", entry_text(entry, "src"));
	out_member(out, "dst", entry_text(entry, "dst"));
	out_member(out, "version", entry_text(entry, "version"));
	out_put(out, "}", 1);
}

static bool is_subject(const char *key, const json_t *value)
{
	return json_is_string(value) && json_string_length(value) <= SUBJECT_TEXT_MAX &&
	       is_one_of(key, subject_keys, ARRAY_LEN(subject_keys));
}

/* {"msg":...,"fields":{...}}: those of the entry that belong to the subject. */
static void put_subject(const struct entry *entry, struct out *out)
{
	bool first = true;

	out_text(out, "{\"msg\":");
	out_json_str(out, text_of(entry->msg));
	out_text(out, ",\"fields\":{");
	for (size_t i = 0; i < ARRAY_LEN(subject_keys); i++) {
		const json_t *value = json_object_get(entry->fields, subject_keys[i]);

		if (!value || !is_subject(subject_keys[i], value))
			continue;
		if (!first)
			out_put(out, ",", 1);
		first = false;
		out_json_str(out, str_of(subject_keys[i]));
		out_put(out, ":", 1);
		out_json_str(out, text_of(value));
	}
	out_text(out, "}}");
}

static void put_lower(struct out *out, struct str text)
{
	char piece[SUBJECT_TEXT_MAX];

	while (text.len > 0) {
		size_t len = text.len < sizeof(piece) ? text.len : sizeof(piece);

		for (size_t i = 0; i < len; i++)
			piece[i] = text.at[i] == '\0' ? ' ' : ascii_lower(text.at[i]);
		out_put(out, piece, len);
		text.at += len;
		text.len -= len;
	}
	out_put(out, "\n", 1);
}

/* msg, and each distinct text of the subject once: host and https are mostly the same. */
void entry_search(const struct entry *entry, struct out *out)
{
	put_lower(out, text_of(entry->msg));
	for (size_t i = 0; i < ARRAY_LEN(subject_keys); i++) {
		const json_t *value = json_object_get(entry->fields, subject_keys[i]);
		bool seen = !value || !is_subject(subject_keys[i], value);

		for (size_t k = 0; k < i && !seen; k++)
			seen = json_equal(value, json_object_get(entry->fields, subject_keys[k]));
		if (!seen)
			put_lower(out, text_of(value));
	}
}

static int put_rest(const struct entry *entry, struct out *out)
{
	json_t *rest = json_object(), *value;
	const char *key;
	int err = rest ? 0 : -ENOMEM;

	json_object_foreach(entry->fields, key, value)
		if (!is_subject(key, value) && json_object_set(rest, key, value) < 0)
			err = -ENOMEM;
	if (err == 0)
		out_json(out, rest);
	json_decref(rest);
	return err;
}

int entry_split(const struct entry *entry, struct entry_parts *parts)
{
	struct out subject, rest;
	int err;

	*parts = (struct entry_parts){
		.component = entry_text(entry, "component"),
		.name = entry_name(entry),
		.source_ip = entry_text(entry, "source_ip"),
		.destination_ip = entry_text(entry, "destination_ip"),
		.hostname = entry_text(entry, "hostname"),
		.reason = entry_text(entry, "reason"),
		.version = entry_text(entry, "version"),
		.bytes = sane_number_of(entry, "bytes_up") + sane_number_of(entry, "bytes_down"),
		.duration_ms = -1,
	};
	if (json_is_number(json_object_get(entry->fields, "duration_ms")))
		parts->duration_ms = sane_number_of(entry, "duration_ms");
	out_init(&subject, ENTRY_JSON_MAX);
	out_init(&rest, ENTRY_JSON_MAX);
	put_subject(entry, &subject);
	err = put_rest(entry, &rest);
	parts->subject = out_take(&subject, &parts->subject_len);
	parts->rest = out_take(&rest, &parts->rest_len);
	if (err == 0 && (!parts->subject || !parts->rest))
		err = -EMSGSIZE;
	if (err < 0)
		entry_parts_finish(parts);
	return err;
}

void entry_parts_finish(struct entry_parts *parts)
{
	free(parts->subject);
	free(parts->rest);
	parts->subject = parts->rest = NULL;
}

int entry_join(struct entry *entry, struct str subject, struct str rest)
{
	json_t *head = json_loadb(subject.at, subject.len, JSON_ALLOW_NUL, NULL);
	json_t *fields = json_loadb(rest.at, rest.len, JSON_ALLOW_NUL, NULL);
	json_t *constant = json_object_get(head, "fields");

	entry->msg = json_incref(json_object_get(head, "msg"));
	entry->fields = fields;
	if (!json_is_string(entry->msg) || !json_is_object(fields) || !json_is_object(constant) ||
	    json_object_update_missing(fields, constant) < 0 ||
	    !verdict_parse(entry_text(entry, "action"), &entry->verdict)) {
		json_decref(head);
		entry_finish(entry);
		return -EBADMSG;
	}
	json_decref(head);
	return 0;
}
