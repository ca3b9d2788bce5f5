/* sse.c - live streams. */
#include "dashboard/sse.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/log.h"
#include "dashboard/auth.h"
#include "dashboard/rfc3339.h"
#include "dashboard/store_events.h"

enum {
	BLOCK = 32 << 10,
	PAGE_EVENTS = 200, PAGE_BYTES = 128 << 10,
	SNDBUF = 256 << 10,             /* what the kernel keeps for a reader that does not read */
	STUCK_S = 60,                   /* a reader that takes nothing for so long is cut */
};
#define PING_NS (10 * NS_PER_S)
/* So much work for each stream and flush is good: 1,000 streams are flushed 10 times a second. */
#define FLUSH_NS_EACH (NS_PER_S / 10 / 1000)
#define FLUSH_NS_MIN (5 * NS_PER_MS)

enum stream_state { STREAM_CATCHING_UP, STREAM_LIVE };

struct stream {
	struct streams *streams;
	struct stream *before, *behind;
	struct MHD_Connection *conn;
	enum stream_state state;
	struct hub_reader reader;
	struct who who;
	bool waits;                     /* suspended, until something is published */
	bool fetching;                  /* suspended, until its page is there */
	int64_t spoke_ns;
	struct out page;                /* what is sent before anything else */
	size_t page_at;
	/* For the thread that fetches a page. */
	struct job job;
	struct out fetched;
	int64_t fetched_id;
	bool fetched_all, fetch_failed;
};

struct streams {
	struct server *server;
	struct stream *first;
	unsigned count;
	bool stopping, published;
	int64_t flushed_ns;
	uint64_t lost_told;
};

struct streams *streams_open(struct server *server)
{
	struct streams *streams = calloc(1, sizeof(*streams));

	if (streams)
		streams->server = server;
	return streams;
}

void streams_close(struct streams *streams)
{
	assert(!streams || !streams->first);
	free(streams);
}

unsigned streams_count(const struct streams *streams)
{
	return streams->count;
}

void streams_reply(struct streams *streams, struct request *request, int64_t since_id)
{
	struct stream *stream;
	char hello[80];

	if (streams->count >= streams->server->options->streams_max) {
		reply_error(request, 503, "too many live streams: see STREAMS_MAX");
		return;
	}
	stream = calloc(1, sizeof(*stream));
	if (!stream) {
		reply_error(request, 500, "stream unsupported");
		return;
	}
	*stream = (struct stream){
		.streams = streams, .behind = streams->first, .conn = request->conn,
		.who = request->who, .spoke_ns = clock_steady_ns(),
		.state = since_id >= 0 ? STREAM_CATCHING_UP : STREAM_LIVE,
	};
	if (since_id >= 0 && hub_begin_after(streams->server->hub, &stream->reader, since_id))
		stream->state = STREAM_LIVE;
	else if (since_id < 0)
		hub_begin(streams->server->hub, &stream->reader);
	if (stream->behind)
		stream->behind->before = stream;
	streams->first = stream;
	streams->count++;
	out_init(&stream->page, PAGE_BYTES + ENTRY_JSON_MAX * 2);
	out_init(&stream->fetched, PAGE_BYTES + ENTRY_JSON_MAX * 2);
	snprintf(hello, sizeof(hello), "retry: %u\n\n: connected\n\n",
		 streams->server->options->sse_retry_ms);
	out_text(&stream->page, hello);
	request->reply.status = 200;
	request->reply.stream = stream;
}

void stream_free(struct stream *stream)
{
	struct streams *streams = stream->streams;

	assert(!stream->fetching);
	if (stream->before)
		stream->before->behind = stream->behind;
	else
		streams->first = stream->behind;
	if (stream->behind)
		stream->behind->before = stream->before;
	streams->count--;
	hub_end(streams->server->hub, &stream->reader);
	out_finish(&stream->page);
	out_finish(&stream->fetched);
	free(stream);
}

static void put_event(struct out *out, const struct entry *entry)
{
	out_print(out, "id: %lld\ndata: ", (long long)entry->id);
	entry_json(entry, out);
	out_put(out, "\n\n", 2);
}

static int on_page_entry(void *arg, struct entry *entry)
{
	struct stream *stream = arg;

	put_event(&stream->fetched, entry);
	stream->fetched_id = entry->id;
	/* A short page is not the end. */
	if (stream->fetched.len < PAGE_BYTES)
		return 0;
	stream->fetched_all = false;
	return 1;
}

struct counted {
	struct stream *stream;
	int64_t count;
};

static int on_counted(void *arg, struct entry *entry)
{
	struct counted *counted = arg;

	counted->count++;
	return on_page_entry(counted->stream, entry);
}

/* On a thread with a store. */
static void fetch_page(struct job *job, struct store *store)
{
	struct stream *stream = (struct stream *)((char *)job - offsetof(struct stream, job));
	struct event_query query = { .since_id = stream->reader.last_id, .limit = PAGE_EVENTS,
				     .oldest_first = true };
	struct counted counted = { stream, 0 };

	stream->fetched_id = stream->reader.last_id;
	stream->fetched_all = true;
	if (query.since_id == 0)
		query.since_id = -1;    /* 0 would be no restriction; there is no event 0 */
	stream->fetch_failed = store_find_events(store, &query, on_counted, &counted) < 0;
	if (stream->fetch_failed)
		log_error("store.error", log_str("err", store_error(store)));
	if (counted.count == PAGE_EVENTS)
		stream->fetched_all = false;
	MHD_resume_connection(stream->conn);
	server_wake(stream->streams->server);
}

/* The page that was fetched is what is sent next; at the end of the store, on to the hub. */
static void take_page(struct stream *stream)
{
	stream->fetching = false;
	out_finish(&stream->page);
	stream->page = stream->fetched;
	stream->page_at = 0;
	out_init(&stream->fetched, PAGE_BYTES + ENTRY_JSON_MAX * 2);
	stream->reader.last_id = stream->fetched_id;
	if (stream->fetched_all &&
	    hub_begin_after(stream->streams->server->hub, &stream->reader, stream->fetched_id))
		stream->state = STREAM_LIVE;
}

static ssize_t send_page(struct stream *stream, char *buf, size_t max)
{
	size_t len = stream->page.len - stream->page_at;

	if (len > max)
		len = max;
	memcpy(buf, stream->page.at + stream->page_at, len);
	stream->page_at += len;
	if (stream->page_at == stream->page.len) {
		out_finish(&stream->page);
		stream->page_at = 0;
	}
	stream->spoke_ns = clock_steady_ns();
	return (ssize_t)len;
}

/* Nothing to send now. */
static ssize_t wait_for_more(struct stream *stream)
{
	struct server *server = stream->streams->server;

	MHD_suspend_connection(stream->conn);
	if (stream->state == STREAM_LIVE) {
		stream->waits = true;
		return 0;
	}
	stream->job = (struct job){ .run = fetch_page };
	stream->fetching = work_push(server->readers, &stream->job);
	if (!stream->fetching)
		stream->waits = true;   /* the queue is full: again with the next tick */
	return 0;
}

static ssize_t read_hub(struct stream *stream, char *buf, size_t max)
{
	struct hub *hub = stream->streams->server->hub;
	size_t len = hub_read(hub, &stream->reader, buf, max);

	if (len > 0) {
		stream->spoke_ns = clock_steady_ns();
		return (ssize_t)len;
	}
	if (stream->reader.lost > 0) {
		out_print(&stream->page, "data: {\"type\":\"dropped\",\"count\":%llu}\n\n",
			  (unsigned long long)stream->reader.lost);
		stream->reader.lost = 0;
		return send_page(stream, buf, max);
	}
	if (clock_steady_ns() - stream->spoke_ns >= PING_NS) {
		out_text(&stream->page, ": ping\n\n");
		return send_page(stream, buf, max);
	}
	return wait_for_more(stream);
}

/* MHD asks for up to max bytes. */
static ssize_t on_read(void *arg, uint64_t pos, char *buf, size_t max)
{
	struct stream *stream = arg;

	(void)pos;
	stream->waits = false;
	if (stream->fetching)
		take_page(stream);
	if (stream->streams->stopping || stream->fetch_failed ||
	    !auth_still_good(stream->streams->server->auth, &stream->who))
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (stream->page.len > stream->page_at)
		return send_page(stream, buf, max);
	if (stream->state == STREAM_LIVE)
		return read_hub(stream, buf, max);
	return wait_for_more(stream);
}

static void on_free(void *arg)
{
	stream_free(arg);
}

struct MHD_Response *stream_response(struct stream *stream)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(stream->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	int room = SNDBUF;

	if (info)
		(void)setsockopt(info->connect_fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	(void)MHD_set_connection_option(stream->conn, MHD_CONNECTION_OPTION_TIMEOUT,
					(unsigned)STUCK_S);
	return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, on_read, stream,
						 on_free);
}

static void resume(struct stream *stream)
{
	stream->waits = false;
	MHD_resume_connection(stream->conn);
}

int streams_wake(struct streams *streams, bool published)
{
	int64_t now = clock_steady_ns(), pause = FLUSH_NS_EACH * streams->count;

	streams->published = streams->published || published;
	if (!streams->published || !streams->first)
		return -1;
	if (pause < FLUSH_NS_MIN)
		pause = FLUSH_NS_MIN;
	if (now - streams->flushed_ns < pause)
		return (int)((pause - (now - streams->flushed_ns)) / NS_PER_MS) + 1;
	streams->published = false;
	streams->flushed_ns = now;
	for (struct stream *stream = streams->first; stream; stream = stream->behind)
		if (stream->waits)
			resume(stream);
	return -1;
}

void streams_tick(struct streams *streams)
{
	int64_t now = clock_steady_ns();
	struct hub_counts counts = hub_counts(streams->server->hub);

	for (struct stream *stream = streams->first; stream; stream = stream->behind)
		if (stream->waits &&
		    (now - stream->spoke_ns >= PING_NS || stream->state != STREAM_LIVE ||
		     !auth_still_good(streams->server->auth, &stream->who)))
			resume(stream);
	if (counts.lost > streams->lost_told)
		log_warn("broadcaster.dropped",
			 log_uint("count", counts.lost - streams->lost_told));
	streams->lost_told = counts.lost;
}

void streams_stop(struct streams *streams)
{
	streams->stopping = true;
	for (struct stream *stream = streams->first; stream; stream = stream->behind)
		if (stream->waits)
			resume(stream);
}

void streams_say(struct hub *hub, const char *json)
{
	struct out out;
	size_t len = 0;
	char *text;

	out_init(&out, 4096);
	out_print(&out, "data: %s\n\n", json);
	text = out_take(&out, &len);
	if (text)
		hub_publish(hub, 0, text, len);
}

void streams_publish(struct hub *hub, const struct entry *entry)
{
	struct out out;
	size_t len = 0;
	char *text;

	out_init(&out, ENTRY_JSON_MAX * 3);
	put_event(&out, entry);
	text = out_take(&out, &len);
	if (text)
		hub_publish(hub, entry->id, text, len);
}

void streams_complete(struct hub *hub, const struct entry *entry)
{
	struct out out;
	size_t len = 0;
	char *text;

	out_init(&out, ENTRY_JSON_MAX * 3);
	out_text(&out, "data: {\"type\":\"completed\",\"entry\":");
	entry_json(entry, &out);
	out_text(&out, "}\n\n");
	text = out_take(&out, &len);
	if (text)
		hub_publish(hub, 0, text, len);
}
