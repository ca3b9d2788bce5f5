/* shapes.c - logged packets counted by their shape. */
#include "netfilter/shapes.h"

#include <time.h>

_Static_assert(EVENT_NFLOG_REDIRECTED - EVENT_NFLOG_BLOCKED == SHAPE_KINDS - 1,
	       "the kinds stand together");

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static bool same_shape(const struct shape *shape, const struct event *event)
{
	return shape->kind == event->kind && shape->protocol == event->protocol &&
	       addr_equal_ip(&shape->src, &event->src) && addr_equal_ip(&shape->dst, &event->dst) &&
	       addr_port(&shape->dst) == addr_port(&event->dst);
}

static uint32_t hash_bytes(uint32_t hash, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * 16777619;
	return hash;
}

/* FNV-1a.  No key: with 1024 shapes and the kernel's rate limit the worst an adversary gets by
 * collisions is some 200,000 comparisons a second. */
static uint32_t hash_shape(const struct event *event)
{
	uint16_t port = addr_port(&event->dst);
	uint32_t hash = hash_bytes(2166136261, &port, sizeof(port));

	hash = hash_bytes(hash, &event->protocol, sizeof(event->protocol));
	if (event->dst.sa.sa_family == AF_INET)
		return hash_bytes(hash, &event->dst.v4.sin_addr, 4);
	return hash_bytes(hash, &event->dst.v6.sin6_addr, 16);
}

/* The slot of the event's shape, or the free one where it belongs. */
static uint16_t *find_slot(struct shapes *shapes, const struct event *event)
{
	uint32_t i = hash_shape(event);

	while (shapes->slots[i % SHAPE_SLOTS] &&
	       !same_shape(&shapes->shapes[shapes->slots[i % SHAPE_SLOTS] - 1], event))
		i++;
	return &shapes->slots[i % SHAPE_SLOTS];
}

void shapes_add(struct shapes *shapes, const struct event *event)
{
	uint16_t *slot = find_slot(shapes, event);

	if (*slot) {
		shapes->shapes[*slot - 1].count++;
	} else if (shapes->count == SHAPES_MAX) {
		shapes->overflow[event->kind - EVENT_NFLOG_BLOCKED]++;
	} else {
		shapes->shapes[shapes->count++] = (struct shape){
			.kind = event->kind, .protocol = event->protocol, .count = 1,
			.payload_len = event->payload_len, .time_ns = now_ns(),
			.src = event->src, .dst = event->dst };
		*slot = (uint16_t)shapes->count;
	}
}

void shapes_tell(struct shapes *shapes, nflog_fn *tell, void *context)
{
	for (unsigned i = 0; i < shapes->count; i++) {
		const struct shape *shape = &shapes->shapes[i];

		tell(context, &(struct event){
			.kind = shape->kind, .protocol = shape->protocol,
			.payload_len = shape->payload_len, .count = shape->count,
			.time_ns = shape->time_ns, .src = shape->src, .dst = shape->dst });
	}
	for (int kind = 0; kind < SHAPE_KINDS; kind++)
		if (shapes->overflow[kind] > 0)
			tell(context, &(struct event){
				.kind = EVENT_NFLOG_BLOCKED + (enum event_kind)kind,
				.count = shapes->overflow[kind], .time_ns = now_ns(),
				.detail = "packets to too many destinations to tell each" });
	if (shapes->count > 0)
		memset(shapes->slots, 0, sizeof(shapes->slots));
	memset(shapes->overflow, 0, sizeof(shapes->overflow));
	shapes->count = 0;
}
