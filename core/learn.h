/* learn.h - addresses that the kernel must let through before an answer leaves (dns-strict;
 * decisions.md 15).
 *
 * A worker submits a learn and holds its answer back; the control thread takes all that wait, puts
 * them into the kernel's sets in one transaction, and completes them; done() then runs on the
 * worker's loop.
 *
 *   worker: learn_submit() -> queue -> control: learn_take(), nft_learn(), learn_complete()
 *                                      --post--> worker: done() */
#ifndef CORE_LEARN_H
#define CORE_LEARN_H

#include "core/addr.h"
#include "core/loop.h"

enum {
	LEARN_ITEMS_MAX = 512,          /* of one learn: 64 addresses, each with 8 port ranges */
	LEARNS_MAX = 4096,              /* waiting, of all workers; what is beyond is refused */
	LEARN_OUTDATED = 1,             /* a result: the policy is another by now, judge anew */
};

struct learn_item {                     /* plain bytes, comparable: zero what is not used */
	union addr addr;                /* port 0 */
	uint8_t protocol;               /* IPPROTO_TCP, IPPROTO_UDP; 0: every one, no ports */
	uint16_t first_port, last_port; /* inclusive; 0, 0: every port */
	uint32_t ttl_s;                 /* in the kernel from now on, a renewal too */
};

struct learn;
typedef void learn_fn(struct learn *learn, int result);

/* Embed it in what waits; idle: done == NULL.  The memory of name and items is the submitter's and
 * stays as it is until done(). */
struct learn {
	struct owner *owner;            /* held while the learn waits */
	learn_fn *done;                 /* 0: in the kernel; LEARN_OUTDATED or -errno: it is not, do
					 * not answer */
	struct str name;                /* the policy entry's business: for forgetting */
	const struct learn_item *items;
	unsigned count;
	struct learn *next;             /* private from here on */
	int result;
	struct post post;
};

/* NULL: not dns-strict, nothing to wait for.  Set before workers start: learn_queue(), or what a
 * test has. */
extern int (*learn_submit)(struct learn *learn, learn_fn *done);

/* Worker.  0 and done() comes later on the loop of the learn's owner (not when the owner is closing
 * by then), or -EAGAIN: too many wait, done() does not come. */
int learn_queue(struct learn *learn, learn_fn *done);

/* The control thread's eventfd, readable when learn_take() has something; opened by the first call
 * and the same ever after.  -errno. */
int learn_fd(void);
/* The same, -1 when it has not been opened; for workers, which keep it. */
int learn_fd_opened(void);
/* Control thread: all that wait, linked by next in the order of submission, and the eventfd read
 * empty.  NULL: nothing. */
struct learn *learn_take(void);
/* Control thread: tell each of them how it went.  The list is gone then. */
void learn_complete(struct learn *list, int result);
/* Nobody takes any more: what waits, and whatever comes, fails with -ECANCELED.  Any thread. */
void learn_close(void);

#endif
