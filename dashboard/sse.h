/* sse.h - live streams: text/event-stream, any number of them on one thread.
 *
 *      catching up (pages from the store, by a thread)  ->  live (from the hub)
 *
 * A stream that has nothing to send is a suspended connection; it is resumed when something is
 * published, or when it is time to show that it is alive.  All on the server's thread. */
#ifndef DASHBOARD_SSE_H
#define DASHBOARD_SSE_H

#include "dashboard/server.h"

struct streams;

struct streams *streams_open(struct server *server);
void streams_close(struct streams *streams);

/* A new stream as the reply, after the event since_id; -1: from now on.  Too many: a 503. */
void streams_reply(struct streams *streams, struct request *request, int64_t since_id);
/* MHD's response for it; NULL: no memory. */
struct MHD_Response *stream_response(struct stream *stream);
/* Of a reply that was never sent. */
void stream_free(struct stream *stream);

/* Something was published: resume those that wait, but not more often than is good for all.
 * Returns the milliseconds until it wants to be called again, -1: not before the next. */
int streams_wake(struct streams *streams, bool published);
/* Each second: streams that are silent for too long say something, those without a right end. */
void streams_tick(struct streams *streams);
/* All end; the connections close. */
void streams_stop(struct streams *streams);
unsigned streams_count(const struct streams *streams);

/* Publish a message that is no event: {"type":"cleared"}. */
void streams_say(struct hub *hub, const char *json);
/* Publish a stored event. */
void streams_publish(struct hub *hub, const struct entry *entry);
/* Publish what has become of a stored event: {"type":"completed","entry":{...}}.  Without an id of
 * the stream: it is no new event, and none to resume behind. */
void streams_complete(struct hub *hub, const struct entry *entry);

#endif
