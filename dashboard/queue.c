/* queue.c - texts waiting to be sent. */
#include "dashboard/queue.h"

#include <errno.h>
#include <stdlib.h>

#include "core/log.h"

int queue_init(struct queue *queue, uint32_t size, struct spool *spool)
{
	*queue = (struct queue){ .size = size, .spool = spool };
	queue->texts = calloc(size, sizeof(*queue->texts));
	return queue->texts ? 0 : -ENOMEM;
}

static void drop_first(struct queue *queue)
{
	struct str *first = &queue->texts[queue->first];

	free((void *)(uintptr_t)first->at);
	*first = (struct str){ 0 };
	queue->first = (queue->first + 1) % queue->size;
	queue->count--;
}

void queue_finish(struct queue *queue)
{
	while (queue->texts && queue->count > 0)
		drop_first(queue);
	free(queue->texts);
	spool_close(queue->spool);
	*queue = (struct queue){ 0 };
}

static void push_to_memory(struct queue *queue, struct str text)
{
	char *copy = malloc(text.len + 1);

	if (!copy) {
		queue->dropped++;
		return;
	}
	if (queue->count == queue->size) {
		/* It may be on its way: then it must not be popped a second time. */
		if (!queue->batch_spooled && queue->popped_early < queue->batch)
			queue->popped_early++;
		queue->dropped++;
		drop_first(queue);
	}
	memcpy(copy, text.at, text.len);
	queue->texts[(queue->first + queue->count) % queue->size] = (struct str){ copy, text.len };
	queue->count++;
}

/* Memory is newer than the spool: while there is something in it, more goes there. */
void queue_push(struct queue *queue, struct str text)
{
	if (queue->spool && queue->count == 0 && !queue->spool_failing)
		spool_push(queue->spool, text, &queue->dropped);
	else
		push_to_memory(queue, text);
}

void queue_flush(struct queue *queue)
{
	int err;

	if (!queue->spool)
		return;
	if (queue->spool_failing && queue->count > 0)
		return;
	err = spool_write(queue->spool, &queue->dropped);
	if (err < 0 && !queue->spool_failing)
		log_warn("dashboard.spool_failed", log_str("err", strerror(-err)),
			 log_str("note", "DASHBOARD_SPOOL cannot be written: events wait in memory "
				 "until it can"));
	queue->spool_failing = err < 0;
}

uint64_t queue_count(const struct queue *queue)
{
	return queue->count + (queue->spool ? spool_count(queue->spool) : 0);
}

static unsigned peek_memory(struct queue *queue, unsigned count_max, char *out, size_t size,
			    size_t *len)
{
	unsigned count = 0;

	*len = 0;
	while (queue->count > 0 && queue->texts[queue->first].len > size) {
		queue->dropped++;
		drop_first(queue);
	}
	for (; count < count_max && count < queue->count; count++) {
		struct str text = queue->texts[(queue->first + count) % queue->size];
		size_t need = text.len + (count > 0);

		if (*len + need > size)
			break;
		if (count > 0)
			out[(*len)++] = ',';
		memcpy(out + *len, text.at, text.len);
		*len += text.len;
	}
	return count;
}

unsigned queue_peek(struct queue *queue, unsigned count_max, char *out, size_t size, size_t *len)
{
	queue->popped_early = 0;
	queue->batch = 0;
	queue->batch_spooled = queue->spool && spool_count(queue->spool) > 0;
	if (queue->batch_spooled)
		queue->batch = spool_peek(queue->spool, count_max, out, size, len,
					  &queue->dropped);
	if (queue->batch == 0) {
		queue->batch_spooled = false;
		queue->batch = peek_memory(queue, count_max, out, size, len);
	}
	return queue->batch;
}

void queue_pop(struct queue *queue)
{
	if (queue->batch_spooled)
		spool_pop(queue->spool);
	else
		for (unsigned i = queue->popped_early; i < queue->batch && queue->count > 0; i++)
			drop_first(queue);
	queue->batch = queue->popped_early = 0;
}
