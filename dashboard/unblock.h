/* unblock.h - what an operator has unblocked: fetched from the dashboard, and acknowledged once it
 * is in force, or has been refused.
 *
 * Our dashboard is told how this instance is by POST /api/v1/sync, which with ?wait= answers when
 * there is something to do; g0efilter's is asked by GET /api/v1/unblocks, so often.  What it cannot
 * be told, a refusal, it is not told: an acknowledgement would read as done. */
#ifndef DASHBOARD_UNBLOCK_H
#define DASHBOARD_UNBLOCK_H

#include "dashboard/web.h"

enum {
	UNBLOCK_ID_MAX = 64, UNBLOCK_VALUE_MAX = 256, UNBLOCK_ERROR_MAX = 384,
	UNBLOCK_HASH_MAX = 72,
};

struct unblock_item {
	char id[UNBLOCK_ID_MAX], type[16], value[UNBLOCK_VALUE_MAX];
	char target[UNBLOCK_VALUE_MAX]; /* the instance that is asked; "": every one */
	char undoes[UNBLOCK_ID_MAX];    /* with remove: the item that is taken back; "": not said */
	char expires_at[48];            /* RFC 3339; "": never */
	bool once, remove;
};

struct unblock_result {
	char id[UNBLOCK_ID_MAX], hash[UNBLOCK_HASH_MAX];
	char error[UNBLOCK_ERROR_MAX];  /* "": in force */
};

struct unblock_settings {               /* borrowed */
	struct web_target *target;
	const char *key_header;         /* "X-Api-Key: ..." */
	const char *hostname;
	bool fetch;                     /* else it says how it is, and refuses what it is asked */
	uint64_t poll_ms;
	void (*found)(void *context, const struct unblock_item *item);
	void *context;
};

/* Read a reply's list of pending items; each good one goes to found().  Returns how many there are,
 * -1 when the text has none. */
int unblock_parse(struct str text, void (*found)(void *context, const struct unblock_item *item),
		  void *context);
/* The body of an acknowledgement.  Returns its length. */
size_t unblock_ack_text(const struct unblock_result *result, const char *hostname, char *out,
			size_t size);

struct unblock;
int unblock_open(struct unblock **unblock, struct web *web,
		 const struct unblock_settings *settings, uint64_t now_ms);
void unblock_close(struct unblock *unblock);    /* NULL is fine */
/* How this instance is: the body of /sync, allocated; urgent: to be told at once. */
void unblock_report(struct unblock *unblock, char *report, bool urgent);
void unblock_answer(struct unblock *unblock, const struct unblock_result *result);
void unblock_run(struct unblock *unblock, uint64_t now_ms);
uint64_t unblock_due_ms(const struct unblock *unblock);

#endif
