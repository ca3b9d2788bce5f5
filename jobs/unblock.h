/* unblock.h - what was unblocked in the dashboard becomes a part of the policy: checked, written,
 * in force, and only then acknowledged; taken out again when its time is over.
 *
 * What is unblocked for good goes into the policy file, what is for a while into the overlay; each
 * into the other where it cannot be written (decisions.md 24).  A note beside the entry says what
 * it is (core/policy_edit.h), so a restart forgets nothing. */
#ifndef JOBS_UNBLOCK_H
#define JOBS_UNBLOCK_H

#include "core/policy_edit.h"
#include "dashboard/unblock.h"

struct running;
struct event;

/* unblock_check.c: may it be unblocked?  Fills *note; NULL, or why not: one line. */
const char *unblock_check(const struct unblock_item *item, int64_t now, struct policy_note *note,
			  char why[UNBLOCK_ERROR_MAX]);

/* Where the overlay is; "": nowhere. */
void unblocker_overlay(const struct running *running, char *out, size_t size);

/* Control thread.  Nothing happens without ENABLE_REMOTE_UNBLOCK. */
void unblocker_open(struct running *running);
void unblocker_close(struct running *running);
void unblocker_tick(struct running *running);
/* A connection's end may be what was allowed once. */
void unblocker_tell(struct running *running, const struct event *event);

#endif
