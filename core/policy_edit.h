/* policy_edit.h - adding to a policy's text, and taking away from it, without touching the rest: an
 * edit is a few bytes put in or cut out at the place that libyaml's events show, so comments,
 * order, quoting and whatever else somebody wrote stay as they are.
 *
 * What is added carries a note, a comment on its line:
 *
 *	    - "evil.example" # ringfence: unblocked id=4f2a until=2026-11-29T12:00:00Z once
 *
 * Only lines with such a note are ever cut out again. */
#ifndef CORE_POLICY_EDIT_H
#define CORE_POLICY_EDIT_H

#include "proto/str.h"

enum policy_list { POLICY_DOMAINS, POLICY_IPS };

enum { POLICY_NOTES_MAX = 1024, POLICY_ID_MAX = 64 };

struct policy_note {
	enum policy_list list;
	char entry[256];                /* as written */
	char id[POLICY_ID_MAX];         /* letters, digits, '-' and '_' */
	int64_t until;                  /* seconds of CLOCK_REALTIME, 0: for good */
	bool once;
};

/*
 * Put note->entry, which needs no escapes in double quotes, into its list of the allowlist.
 * 0: *out is allocated; -EEXIST: it is there already (letters' case does not matter), and the
 * text is a good policy; -ENOMEM;
 * -ENOTSUP: not without touching more (a list in brackets, or a layout that is too strange);
 * -EINVAL: the text is no good policy.  The result has been parsed, and has just one entry more.
 */
int policy_edit_add(struct str text, const struct policy_note *note, char **out, size_t *out_len);

/* Cut out the line whose note has this id.  0; -ENOENT: there is none; otherwise as above. */
int policy_edit_remove(struct str text, const char *id, char **out, size_t *out_len);

/* The notes in a text, at most max; returns how many. */
unsigned policy_edit_notes(struct str text, struct policy_note *notes, unsigned max);

/* Seconds of CLOCK_REALTIME from "2026-11-29T12:00:00[.123]Z"; 0: it is none. */
int64_t policy_edit_time(const char *text);

#endif
