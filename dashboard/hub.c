/* hub.c - a ring of messages with many readers. */
#include "dashboard/hub.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct hub_message {
	unsigned refs;                  /* the ring, and readers in the middle of it */
	int64_t id;
	size_t len;
	char *text;
};

struct hub {
	pthread_mutex_t lock;
	struct hub_message *ring[HUB_MESSAGES];
	uint64_t first, end;            /* numbers of the oldest, and of the next */
	size_t bytes;
	bool may_lag;
	int64_t newest_id;              /* of the events published, also those that left */
	int64_t left_id;                /* the highest that left the ring, or was before it */
	struct hub_counts counts;
	void (*wake)(void *);
	void *arg;
};

struct hub *hub_open(int64_t last_id, void (*wake)(void *), void *arg)
{
	struct hub *hub = calloc(1, sizeof(*hub));

	if (!hub)
		return NULL;
	pthread_mutex_init(&hub->lock, NULL);
	hub->newest_id = hub->left_id = last_id;
	hub->wake = wake;
	hub->arg = arg;
	return hub;
}

static void release(struct hub_message *message)
{
	if (--message->refs > 0)
		return;
	free(message->text);
	free(message);
}

static void drop_oldest(struct hub *hub)
{
	struct hub_message *message = hub->ring[hub->first % HUB_MESSAGES];

	hub->bytes -= message->len;
	if (message->id > hub->left_id)
		hub->left_id = message->id;
	release(message);
	hub->first++;
}

void hub_close(struct hub *hub)
{
	if (!hub)
		return;
	while (hub->first < hub->end)
		drop_oldest(hub);
	pthread_mutex_destroy(&hub->lock);
	free(hub);
}

void hub_publish(struct hub *hub, int64_t id, char *text, size_t len)
{
	struct hub_message *message = calloc(1, sizeof(*message));

	pthread_mutex_lock(&hub->lock);
	if (!message) {
		/* Nobody gets it: as if it had left at once. */
		if (id > hub->left_id)
			hub->left_id = id;
		free(text);
	} else {
		*message = (struct hub_message){ 1, id, len, text };
		while (hub->end > hub->first && (hub->end - hub->first == HUB_MESSAGES ||
						 hub->bytes + len > HUB_BYTES))
			drop_oldest(hub);
		if (id > hub->newest_id)
			hub->newest_id = id;
		hub->ring[hub->end++ % HUB_MESSAGES] = message;
		hub->bytes += len;
		hub->counts.published++;
	}
	pthread_mutex_unlock(&hub->lock);
	hub->wake(hub->arg);
}

void hub_begin(struct hub *hub, struct hub_reader *reader)
{
	pthread_mutex_lock(&hub->lock);
	reader->at = hub->end;
	reader->last_id = hub->newest_id;
	pthread_mutex_unlock(&hub->lock);
}

void hub_may_lag(struct hub *hub)
{
	hub->may_lag = true;
}

bool hub_begin_after(struct hub *hub, struct hub_reader *reader, int64_t id)
{
	bool whole;

	pthread_mutex_lock(&hub->lock);
	whole = hub->left_id <= id;
	reader->at = id > hub->newest_id ? hub->end : hub->first;
	reader->last_id = id > hub->newest_id && !hub->may_lag ? hub->newest_id : id;
	reader->after = reader->last_id;
	/* Ids rise: the first that is higher is where to begin. */
	while (reader->at < hub->end && hub->ring[reader->at % HUB_MESSAGES]->id <= id)
		reader->at++;
	pthread_mutex_unlock(&hub->lock);
	return whole;
}

static size_t copy_begun(struct hub_reader *reader, char *buf, size_t max)
{
	struct hub_message *message = reader->begun;
	size_t len = message->len - reader->begun_at;

	if (len > max)
		len = max;
	memcpy(buf, message->text + reader->begun_at, len);
	reader->begun_at += len;
	if (reader->begun_at == message->len) {
		release(message);
		reader->begun = NULL;
	}
	return len;
}

size_t hub_read(struct hub *hub, struct hub_reader *reader, char *buf, size_t max)
{
	size_t len = 0;

	pthread_mutex_lock(&hub->lock);
	if (reader->begun)
		len = copy_begun(reader, buf, max);
	if (!reader->begun && reader->at < hub->first) {
		reader->lost += hub->first - reader->at;
		hub->counts.lost += hub->first - reader->at;
		reader->at = hub->first;
	}
	/* Whoever lost some is told so before the next: the caller looks at lost. */
	while (!reader->begun && reader->lost == 0 && reader->at < hub->end && len < max) {
		struct hub_message *message = hub->ring[reader->at % HUB_MESSAGES];

		if (message->id > 0 && message->id <= reader->after) {
			reader->at++;
			continue;
		}
		if (len > 0 && message->len > max - len)
			break;
		reader->begun = message;
		reader->begun_at = 0;
		message->refs++;
		reader->at++;
		if (message->id > 0)
			reader->last_id = message->id;
		len += copy_begun(reader, buf + len, max - len);
	}
	pthread_mutex_unlock(&hub->lock);
	return len;
}

void hub_end(struct hub *hub, struct hub_reader *reader)
{
	pthread_mutex_lock(&hub->lock);
	if (reader->begun)
		release(reader->begun);
	reader->begun = NULL;
	pthread_mutex_unlock(&hub->lock);
}

struct hub_counts hub_counts(struct hub *hub)
{
	struct hub_counts counts;

	pthread_mutex_lock(&hub->lock);
	counts = hub->counts;
	pthread_mutex_unlock(&hub->lock);
	return counts;
}
