/* ask.h - one name asked upstream: its A and AAAA side by side, through c-ares, on a loop.
 *
 * Every question has a c-ares channel of its own, so that it has sockets, and with them source
 * ports, of its own: c-ares before 1.20 keeps one socket a server while a channel has anything to
 * ask, and a port that stays is half of what an off-path forger needs.  A and AAAA of one question
 * share theirs.  It costs some microseconds a question, and a read of the random device. */
#ifndef CORE_ASK_H
#define CORE_ASK_H

#include "core/loop.h"
#include "core/resolv_conf.h"
#include "core/resolver.h"

struct ask_answer {
	bool failed;                    /* count 0 and nobody said that there is none */
	bool timed_out;                 /* failed, because nobody answered in time */
	unsigned count;                 /* distinct; when there are too many, some of each family */
	union addr addrs[RESOLVER_ADDRS_MAX];
	uint64_t ttl_ms;                /* not clamped */
	unsigned skipped;               /* tries without an answer before the one that had one */
	unsigned forged;                /* datagrams that were no answer to this question */
	unsigned sockets_refused;       /* could not be opened and marked */
};

/* The answer is good during the call; the ask is gone after it. */
typedef void ask_fn(void *context, const struct ask_answer *answer);

struct ask_how {
	struct owner *parent;           /* held until the ask's last request is over */
	uint32_t mark;                  /* SO_MARK of each socket, 0: none */
	const struct upstreams *upstreams;
	unsigned first;                 /* the upstream to begin with; the others follow in turn */
	uint64_t deadline_ms;           /* on the loop's clock */
	ask_fn *done;
	void *context;
};

struct ask;

/* done() comes later from the loop, exactly once unless ask_close() is called before.
 * The name is normalised (hostname.h).  0 or -errno. */
int ask_open(const struct ask_how *how, struct str name, struct ask **ask);
/* Forget the question; done() is not called any more. */
void ask_close(struct ask *ask);

#endif
