/* fuzz_ingest.c - the input as the body of a post of events, as one JSON text and as lines.
 * What is taken must be shown as JSON on one line, and come back from the store as it was. */
#include <assert.h>
#include <stdlib.h>

#include "dashboard/ends.h"
#include "dashboard/payload.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static char *shown(const struct entry *entry, size_t *len)
{
	struct out out;
	char *text;

	out_init(&out, 16 << 20);
	entry_json(entry, &out);
	text = out_take(&out, len);
	assert(text);
	return text;
}

static void check_entry(const struct entry *entry)
{
	struct entry back = { .id = entry->id, .time_ns = entry->time_ns };
	struct entry_parts parts;
	size_t len, len_back;
	char *before = shown(entry, &len), *after;
	json_t *read = json_loadb(before, len, JSON_ALLOW_NUL, NULL);

	assert(json_is_object(read));
	json_decref(read);
	for (size_t i = 0; i < len; i++)
		assert((unsigned char)before[i] >= 0x20 && !strchr("<>&", before[i]));
	memcpy(back.remote, entry->remote, sizeof(back.remote));
	if (entry_split(entry, &parts) == 0) {
		int err = entry_join(&back, (struct str){ parts.subject, parts.subject_len },
				     (struct str){ parts.rest, parts.rest_len });

		assert(err == 0);
		after = shown(&back, &len_back);
		assert(len == len_back && memcmp(before, after, len) == 0);
		free(after);
		entry_finish(&back);
		entry_parts_finish(&parts);
	}
	free(before);
}

/* A row with the facts of an end is completed by it, once, and can still be kept. */
static void check_end(const json_t *item)
{
	struct entry row = { .verdict = VERDICT_ALLOWED, .msg = json_string("https.allowed") };
	struct end end;

	if (end_init(&end, item)) {
		row.fields = json_copy(end.fields);
		row.link = end.link;
		json_object_set_new(row.fields, "action", json_string("ALLOWED"));
		assert(end_complete(&end, &row) && end.used && row.link == 0);
		assert(!end_complete(&end, &row));
		check_entry(&row);
	}
	end_finish(&end);
	entry_finish(&row);
}

static void check_body(struct str body, bool lines)
{
	const char *error;
	json_t *items = payload_parse(body, lines, &error);

	assert(!items == (error != NULL));
	for (size_t i = 0; i < json_array_size(items); i++) {
		struct entry entry;

		if (entry_init(&entry, json_array_get(items, i), "192.0.2.1:9", 1))
			check_entry(&entry);
		entry_finish(&entry);
		check_end(json_array_get(items, i));
	}
	json_decref(items);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct str body = { len > 0 ? (const char *)data : "", len };
	struct out plain;

	check_body(body, false);
	check_body(body, true);
	out_init(&plain, 1 << 16);
	if (payload_inflate(body, &plain))
		check_body((struct str){ plain.at ? plain.at : "", plain.len }, true);
	out_finish(&plain);
	return 0;
}
