/* policy_edit.c - adding to a policy's text, and taking away from it. */
#include "core/policy_edit.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/policy.h"
#include "core/policy_spots.h"

static const char marker[] = "# ringfence: unblocked id=";

int64_t policy_edit_time(const char *text)
{
	struct tm tm = { 0 };
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

	if (!end)
		return 0;
	if (*end == '.')
		end += 1 + strspn(end + 1, "0123456789");
	return strcmp(end, "Z") == 0 ? (int64_t)timegm(&tm) : 0;
}

/* Lines */

static size_t line_end(struct str text, size_t at)
{
	const char *newline = at < text.len ? memchr(text.at + at, '\n', text.len - at) : NULL;

	return newline ? (size_t)(newline + 1 - text.at) : text.len;
}

static size_t line_begin(struct str text, size_t at)
{
	while (at > 0 && text.at[at - 1] != '\n')
		at--;
	return at;
}

/* Blanks before what stands at `at`; false when there is something else. */
static bool is_first_in_line(struct str text, size_t at, size_t *indent)
{
	size_t begin = line_begin(text, at);

	*indent = at - begin;
	for (; begin < at; begin++)
		if (text.at[begin] != ' ')
			return false;
	return true;
}

/* "    - x": where the dash of an entry is, when it stands on its line, alone before it. */
static bool find_dash(struct str text, const struct policy_item *item, size_t *dash)
{
	size_t at = line_begin(text, item->begin), indent;

	while (at < item->begin && text.at[at] == ' ')
		at++;
	if (at >= item->begin || text.at[at] != '-')
		return false;
	for (size_t i = at + 1; i < item->begin; i++)
		if (text.at[i] != ' ')
			return false;
	*dash = at;
	return is_first_in_line(text, at, &indent);
}

/* Notes */

static bool is_id_char(char c)
{
	return (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') ||
	       c == '-' || c == '_';
}

static bool read_word(const char **at, const char *end, char *out, size_t size)
{
	size_t len = 0;

	while (*at < end && **at != ' ' && len + 1 < size)
		out[len++] = *(*at)++;
	out[len] = '\0';
	return len > 0;
}

/* The note behind an entry, on its line. */
static bool read_note(struct str text, const struct policy_item *item, struct policy_note *note)
{
	size_t stop = line_end(text, item->end);
	const char *at = memmem(text.at + item->end, stop - item->end, marker, sizeof(marker) - 1);
	const char *end = text.at + stop;
	char word[64];

	if (!at)
		return false;
	while (end > at && (end[-1] == '\n' || end[-1] == '\r' || end[-1] == ' '))
		end--;
	at += sizeof(marker) - 1;
	*note = (struct policy_note){ .list = item->list };
	if (!read_word(&at, end, note->id, sizeof(note->id)) || item->len >= sizeof(note->entry))
		return false;
	memcpy(note->entry, item->value, item->len);
	while (at < end && *at == ' ') {
		at++;
		(void)read_word(&at, end, word, sizeof(word));
		if (strncmp(word, "until=", 6) == 0)
			note->until = policy_edit_time(word + 6);
		else if (strcmp(word, "once") == 0)
			note->once = true;
	}
	return true;
}

unsigned policy_edit_notes(struct str text, struct policy_note *notes, unsigned max)
{
	struct policy_spots spots;
	unsigned count = 0;

	if (!memmem(text.at, text.len, marker, sizeof(marker) - 1) ||
	    policy_spots_find(text, &spots) < 0)
		return 0;
	for (size_t i = 0; i < spots.item_count && count < max; i++)
		count += read_note(text, &spots.items[i], &notes[count]);
	policy_spots_finish(&spots);
	return count;
}

/* Splices: text with [from, to) replaced. */

static int splice(struct str text, size_t from, size_t to, const char *with, char **out,
		  size_t *out_len)
{
	size_t len = strlen(with);
	char *made = malloc(text.len - (to - from) + len + 1);

	if (!made)
		return -ENOMEM;
	if (from > 0)
		memcpy(made, text.at, from);
	memcpy(made + from, with, len);
	if (to < text.len)
		memcpy(made + from + len, text.at + to, text.len - to);
	*out_len = text.len - (to - from) + len;
	made[*out_len] = '\0';
	*out = made;
	return 0;
}

/* Does the new text say what the old one did, and so many entries more? */
static int check(struct str before, struct str after, long more)
{
	struct policy *old = NULL, *new = NULL;
	struct policy_error error;
	int err = policy_parse(before.at, before.len, &old, &error);

	if (err < 0)
		return err;
	err = policy_parse(after.at, after.len, &new, &error);
	if (err == -EINVAL || (err == 0 && (long)new->entry_count != (long)old->entry_count + more))
		err = -ENOTSUP;
	/* All that is in the smaller one must be in the larger one; both are sorted. */
	for (size_t i = 0, k = 0; err == 0 && i < (more > 0 ? old : new)->entry_count; i++) {
		const struct policy *large = more > 0 ? new : old;

		while (k < large->entry_count &&
		       strcmp(large->entries[k], (more > 0 ? old : new)->entries[i]) != 0)
			k++;
		if (k++ == large->entry_count)
			err = -ENOTSUP;
	}
	policy_free(old);
	policy_free(new);
	return err;
}

static const char *line_break(struct str text)
{
	size_t end = line_end(text, 0);

	return end >= 2 && text.at[end - 1] == '\n' && text.at[end - 2] == '\r' ? "\r\n" : "\n";
}

struct insertion {
	size_t from, to;                /* replaced by: */
	char text[1200];
};

/* "<indent>- "entry" # ringfence: ..." */
static void format_entry(const struct policy_note *note, size_t indent, char *out, size_t size)
{
	time_t until = (time_t)note->until;
	char when[48] = "";
	struct tm tm;

	if (until != 0) {
		gmtime_r(&until, &tm);
		strftime(when, sizeof(when), " until=%Y-%m-%dT%H:%M:%SZ", &tm);
	}
	snprintf(out, size, "%*s- \"%s\" %s%s%s%s", (int)indent, "", note->entry, marker, note->id,
		 when, note->once ? " once" : "");
}

/* Whole lines, at the beginning of one or at the end of the text. */
static void insert_lines(struct str text, struct insertion *in, size_t at, const char *const *lines,
			 unsigned count)
{
	const char *newline = line_break(text);
	size_t len = 0;

	in->from = in->to = at;
	in->text[0] = '\0';
	if (at > 0 && text.at[at - 1] != '\n')
		len += (size_t)snprintf(in->text, sizeof(in->text), "%s", newline);
	for (unsigned i = 0; i < count; i++)
		len += (size_t)snprintf(in->text + len, sizeof(in->text) - len, "%s%s", lines[i],
					newline);
}

static const char *const list_names[] = { [POLICY_DOMAINS] = "domains", [POLICY_IPS] = "ips" };

/* "domains:" stands there without a value, or with []. */
static int fill_empty(struct str text, const struct policy_spot *spot,
		      const struct policy_note *note, struct insertion *in)
{
	const char *lines[1];
	char entry[512];
	size_t indent;

	if (!is_first_in_line(text, spot->key, &indent))
		return -ENOTSUP;
	format_entry(note, indent + 2, entry, sizeof(entry));
	lines[0] = entry;
	if (spot->value_begin == spot->value_end) {
		insert_lines(text, in, line_end(text, spot->key_end), lines, 1);
		return 0;
	}
	/* The value goes, with the blanks before it; a comment behind it has no place then. */
	if (line_end(text, spot->key_end) != line_end(text, spot->value_begin) ||
	    line_end(text, spot->value_begin) != line_end(text, spot->value_end))
		return -ENOTSUP;
	in->from = spot->value_begin;
	while (text.at[in->from - 1] == ' ')
		in->from--;
	in->to = line_end(text, spot->value_end);
	for (size_t i = spot->value_end; i < in->to; i++)
		if (!strchr(" \r\n", text.at[i]))
			return -ENOTSUP;
	snprintf(in->text, sizeof(in->text), "%s%s%s", line_break(text), entry, line_break(text));
	return 0;
}

/* Behind the last entry of a list in lines. */
static int add_behind(struct str text, const struct policy_item *last,
		      const struct policy_note *note, struct insertion *in)
{
	const char *lines[1];
	char entry[512];
	size_t dash;

	if (!find_dash(text, last, &dash))
		return -ENOTSUP;
	format_entry(note, dash - line_begin(text, dash), entry, sizeof(entry));
	lines[0] = entry;
	insert_lines(text, in, line_end(text, last->end), lines, 1);
	return 0;
}

/* The list, and what it stands in, when they are missing. */
static int add_list(struct str text, const struct policy_spots *spots,
		    const struct policy_note *note, struct insertion *in)
{
	const struct policy_spot *allow = &spots->allowlist;
	char key[64], entry[512];
	const char *lines[3] = { "allowlist:", key, entry };
	size_t indent = 2, at = text.len;

	if (allow->there && allow->is_empty) {
		if (allow->value_begin != allow->value_end ||
		    !is_first_in_line(text, allow->key, &indent))
			return -ENOTSUP;
		indent += 2;
		at = line_end(text, allow->key_end);
	} else if (allow->there) {
		if (!allow->is_block || !is_first_in_line(text, allow->first_key, &indent))
			return -ENOTSUP;
		at = line_begin(text, allow->first_key);
	} else if (spots->root_there) {
		size_t none;

		if (!spots->root_is_block ||
		    !is_first_in_line(text, spots->root_first_key, &none) || none != 0)
			return -ENOTSUP;
		at = line_begin(text, spots->root_first_key);
	}
	snprintf(key, sizeof(key), "%*s%s:", (int)indent, "", list_names[note->list]);
	format_entry(note, indent + 2, entry, sizeof(entry));
	insert_lines(text, in, at, lines + allow->there, 3 - (unsigned)allow->there);
	return 0;
}

static int find_place(struct str text, const struct policy_spots *spots,
		      const struct policy_note *note, struct insertion *in)
{
	const struct policy_spot *list = &spots->lists[note->list];
	const struct policy_item *last = NULL;

	for (size_t i = 0; i < spots->item_count; i++) {
		const struct policy_item *item = &spots->items[i];

		if (item->list != note->list)
			continue;
		if (str_equal_nocase((struct str){ item->value, item->len }, str_of(note->entry)))
			return -EEXIST;
		if (item->len > 0)
			last = item;
	}
	if (!list->there)
		return add_list(text, spots, note, in);
	if (list->is_empty)
		return fill_empty(text, list, note, in);
	if (!list->is_block || !last)
		return -ENOTSUP;
	return add_behind(text, last, note, in);
}

static bool is_plain(const struct policy_note *note)
{
	for (const char *c = note->entry; *c; c++)
		if (*c <= ' ' || *c > '~' || *c == '"' || *c == '\\')
			return false;
	for (const char *c = note->id; *c; c++)
		if (!is_id_char(*c))
			return false;
	return note->entry[0] && note->id[0];
}

/* Alone it ends a line for YAML, but not for who looks for our notes. */
static bool has_lone_return(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] == '\r' && (i + 1 == text.len || text.at[i + 1] != '\n'))
			return true;
	return false;
}

int policy_edit_add(struct str text, const struct policy_note *note, char **out, size_t *out_len)
{
	struct policy_spots spots;
	struct insertion in;
	char *made = NULL;
	size_t len = 0;
	int err;

	if (!is_plain(note))
		return -EINVAL;
	err = policy_spots_find(text, &spots);
	if (err < 0)
		return err;
	err = find_place(text, &spots, note, &in);
	policy_spots_finish(&spots);
	if (err == 0 && has_lone_return(text))
		err = -ENOTSUP;
	if (err == 0)
		err = splice(text, in.from, in.to, in.text, &made, &len);
	if (err == 0)
		err = check(text, (struct str){ made, len }, 1);
	else if (err == -EEXIST && check(text, text, 0) < 0)
		err = -EINVAL;          /* it stands there, and lets nothing through */
	if (err < 0) {
		free(made);
		return err;
	}
	*out = made;
	*out_len = len;
	return 0;
}

int policy_edit_remove(struct str text, const char *id, char **out, size_t *out_len)
{
	struct policy_spots spots;
	struct policy_note note;
	char *made = NULL;
	size_t dash, len = 0;
	int err = policy_spots_find(text, &spots);

	if (err < 0)
		return err;
	err = -ENOENT;
	for (size_t i = 0; i < spots.item_count && err == -ENOENT; i++) {
		const struct policy_item *item = &spots.items[i];

		if (!read_note(text, item, &note) || strcmp(note.id, id) != 0)
			continue;
		err = find_dash(text, item, &dash) ?
		      splice(text, line_begin(text, dash), line_end(text, item->end), "", &made,
			     &len) : -ENOTSUP;
	}
	policy_spots_finish(&spots);
	if (err == 0)
		err = check(text, (struct str){ made, len }, -1);
	if (err < 0) {
		free(made);
		return err;
	}
	*out = made;
	*out_len = len;
	return 0;
}
