/* ask_train.h - questions that leave together.
 *
 * Where there are so many that they share ports, those of one turn that go to one server and are
 * of one length leave from one port in one call (udp(7), UDP_SEGMENT): the way down to the wire is
 * the dearest part of a question.  What the kernel does not take like that goes one by one. */
#ifndef CORE_ASK_TRAIN_H
#define CORE_ASK_TRAIN_H

#include "core/loop.h"

struct server;
struct try;
struct udp_port;

enum {
	ASK_TRAINS_MAX = 8,             /* of a turn: lengths, and servers */
	ASK_TRAIN_MAX = 32,             /* questions of a train: their answers fit the socket */
};

struct ask_train {
	struct udp_port *port;
	uint16_t len;                   /* of each */
	uint8_t count;                  /* 0: the port may be gone */
	struct try *tries[ASK_TRAIN_MAX];
};

struct ask_trains {
	struct ask_train all[ASK_TRAINS_MAX];
	unsigned count;
	uint64_t refused_until_ms;      /* by the kernel, or a narrow path: none until then */
	struct chore leave;
	struct owner *owner;            /* held while leave waits */
};

void ask_trains_init(struct ask_trains *trains);
/* The port of a train with room for this question; NULL: there is none. */
struct udp_port *ask_train_port(const struct ask_trains *trains, const struct server *server,
				uint16_t len);
/* The question, whose port is chosen, leaves by the end of the owner's turn.  false: there is no
 * train for it. */
bool ask_train_join(struct ask_trains *trains, struct owner *owner, struct try *try);
/* If it is in one. */
void ask_train_leave(struct ask_trains *trains, const struct try *try);

#endif
