/* ask_train.c - questions that leave together. */
#include "core/ask_train.h"

#include "core/ask_udp.h"
#include "core/udp_segment.h"

enum { REFUSED_MS = 60000 };

/* Without any its port may be gone. */
static bool has_room(const struct ask_train *train, uint16_t len)
{
	return train->count > 0 && train->count < ASK_TRAIN_MAX && train->len == len;
}

static struct ask_train *train_for(struct ask_trains *trains, const struct udp_port *port,
				   uint16_t len)
{
	for (struct ask_train *train = trains->all; train < trains->all + trains->count; train++)
		if (has_room(train, len) && train->port == port)
			return train;
	return NULL;
}

struct udp_port *ask_train_port(const struct ask_trains *trains, const struct server *server,
				uint16_t len)
{
	for (unsigned i = 0; i < trains->count; i++) {
		const struct ask_train *train = &trains->all[i];

		if (has_room(train, len) && train->port->server == server && !train->port->retired)
			return train->port;
	}
	return NULL;
}

bool ask_train_join(struct ask_trains *trains, struct owner *owner, struct try *try)
{
	struct ask_train *train = train_for(trains, try->port, try->len);

	if (!train) {
		if (owner->loop->now_ms < trains->refused_until_ms ||
		    trains->count == ASK_TRAINS_MAX)
			return false;
		train = &trains->all[trains->count++];
		train->port = try->port;
		train->len = try->len;
		train->count = 0;
		if (!trains->leave.waiting) {
			trains->owner = owner;
			owner_hold(owner);
			loop_put_off(owner->loop, &trains->leave);
		}
	}
	train->tries[train->count++] = try;
	return true;
}

void ask_train_leave(struct ask_trains *trains, const struct try *try)
{
	for (struct ask_train *train = trains->all; train < trains->all + trains->count; train++)
		for (unsigned i = 0; train->port == try->port && i < train->count; i++)
			if (train->tries[i] == try)
				train->tries[i] = train->tries[--train->count];
}

/* 0 or -errno: none of them has left. */
static int send_train(const struct ask_train *train)
{
	struct iovec parts[ASK_TRAIN_MAX];
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = train->count };
	union udp_segment control;

	udp_segment_set(&message, &control, train->len);
	for (unsigned i = 0; i < train->count; i++)
		parts[i] = (struct iovec){ train->tries[i]->wire + 2, train->len };
	return sendmsg(train->port->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Whatever is wrong with one question alone is told by its own request. */
static void leave(struct chore *chore)
{
	struct ask_trains *trains = container_of(chore, struct ask_trains, leave);
	unsigned count = trains->count;

	trains->count = 0;
	for (struct ask_train *train = trains->all; train < trains->all + count; train++) {
		int err = train->count > 1 ? send_train(train) : -EAGAIN;

		if (udp_segment_refused(-err))
			trains->refused_until_ms = trains->owner->loop->now_ms + REFUSED_MS;
		for (unsigned i = 0; err < 0 && i < train->count; i++)
			udp_send_alone(train->tries[i]);
	}
	owner_release(trains->owner);
}

void ask_trains_init(struct ask_trains *trains)
{
	trains->leave.run = leave;
}
