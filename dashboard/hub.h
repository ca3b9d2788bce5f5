/* hub.h - the live stream: the newest messages, once, for all who read along.
 *
 * A ring of messages that are written once and read by any number of streams, each at its own
 * place.  Full means that the oldest goes; a reader that is not there yet loses it, and is told how
 * many it lost.  So memory is bounded whatever the readers do.
 * Published by any thread; read by the thread of the server. */
#ifndef DASHBOARD_HUB_H
#define DASHBOARD_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HUB_MESSAGES = 32768, HUB_BYTES = 32 << 20 };

struct hub;
struct hub_message;

/* Where a reader is; all zero is nowhere yet. */
struct hub_reader {
	uint64_t at;                    /* the message it reads next */
	struct hub_message *begun;      /* one that did not fit as a whole */
	size_t begun_at;
	uint64_t lost;                  /* messages lost since they were last told */
	int64_t last_id;                /* of the last event that it got */
	int64_t after;                  /* events up to this one it has already */
};

/* last_id: of the newest event there is.  wake(arg) is called behind every publication, by its
 * thread. */
struct hub *hub_open(int64_t last_id, void (*wake)(void *), void *arg);
void hub_close(struct hub *hub);                /* NULL: nothing */
/* Others put events into the store too, and it may be ahead of what is published here. */
void hub_may_lag(struct hub *hub);

/* text: all lines of the message, with the empty one at the end; it is taken and freed here.
 * id: of an event, 0 for other messages. */
void hub_publish(struct hub *hub, int64_t id, char *text, size_t len);

/* Begin with what is published from now on. */
void hub_begin(struct hub *hub, struct hub_reader *reader);
/* Begin behind the event id; false, when some between it and the oldest here may be missing.  An id
 * that no event has yet is one of another store: begin with what is published from now on; where
 * the hub may lag, with what is behind that id. */
bool hub_begin_after(struct hub *hub, struct hub_reader *reader, int64_t id);
/* Copy what there is, up to max bytes, whole messages or pieces: 0: nothing new. */
size_t hub_read(struct hub *hub, struct hub_reader *reader, char *buf, size_t max);
void hub_end(struct hub *hub, struct hub_reader *reader);

struct hub_counts {
	uint64_t published, lost;       /* lost: by all readers together */
};
struct hub_counts hub_counts(struct hub *hub);

#endif
