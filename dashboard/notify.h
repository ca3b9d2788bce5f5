/* notify.h - alerts for what was blocked: one for each connection and back-off time, and a digest
 * of the rest.
 *
 * A workload that tries a thousand names must not make a thousand alerts: beyond ALERTS_BURST at
 * once, and one each ALERTS_EVERY_MS, they go into the digest, which is sent once in ten back-off
 * times. */
#ifndef DASHBOARD_NOTIFY_H
#define DASHBOARD_NOTIFY_H

#include "core/event.h"
#include "dashboard/notify_ignore.h"
#include "dashboard/notify_service.h"

struct notify_settings {                /* borrowed */
	const char *hostname;
	uint64_t backoff_ms;
	const struct notify_ignore *ignore;
	const struct notify_service *services;
	unsigned service_count;
};

/* An alert's texts, exactly the seed's; false when the event is none that is alerted.  key: what is
 * alerted only once ("<source_ip>-><dest>:<component>"). */
enum { NOTIFY_KEY_MAX = 400 };
bool notify_text(const struct event *event, const char *hostname, struct alert *alert,
		 char key[NOTIFY_KEY_MAX]);

/* Which keys were alerted when: bounded; a forgotten one is alerted again. */
struct notify_keys;
struct notify_keys *notify_keys_make(void);     /* NULL: no memory */
/* Is it new, or its time over?  Then it is noted. */
bool notify_keys_take(struct notify_keys *keys, const char *key, uint64_t now_ms,
		      uint64_t backoff_ms);

/* What was suppressed. */
enum { DIGEST_LINES_MAX = 32, DIGEST_LINE_MAX = 400 };
struct notify_digest {
	uint64_t count, begun_ms;       /* begun 0: nothing yet */
	unsigned lines;
	struct { char text[DIGEST_LINE_MAX]; uint64_t count; } line[DIGEST_LINES_MAX];
};
void notify_digest_add(struct notify_digest *digest, const char *what, uint64_t now_ms);
/* The alert that tells of it; it is empty then. */
void notify_digest_take(struct notify_digest *digest, const char *hostname, uint64_t now_ms,
			struct alert *alert);

struct notify;
int notify_open(struct notify **notify, struct web *web, const struct notify_settings *settings);
void notify_close(struct notify *notify);       /* NULL is fine */
void notify_event(struct notify *notify, const struct event *event, uint64_t now_ms);
void notify_run(struct notify *notify, uint64_t now_ms);
uint64_t notify_due_ms(const struct notify *notify);
void notify_hurry(struct notify *notify, uint64_t now_ms);      /* the digest too */
bool notify_done(const struct notify *notify);

#endif
