/* op.h - one request in flight, and the thing that owns it.
 *
 * The kernel keeps a pointer to an op from submission to the last completion, so an op must not
 * move or die in between.  It therefore lives inside its owner, and an owner is freed in one
 * place only: owner_release(). */
#ifndef CORE_OP_H
#define CORE_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct op;

/* res: what the system call would have returned, or -errno; flags: IORING_CQE_F_*. */
typedef void op_fn(struct op *op, int res, uint32_t flags);

struct owner {
	struct loop *loop;
	uint32_t in_flight;                     /* ops the kernel holds, plus holds of ours */
	bool closing;                           /* set once; nothing is armed after */
	void (*free)(struct owner *owner);      /* called by owner_release() only */
};

struct op {
	struct owner *owner;
	op_fn *done;                            /* NULL: idle */
	op_fn *drop;                            /* gives back a result nobody wants any more */
};

/* Wait for something that is not a request: a timer, the limiter, another owner.
 * Release what you held when it is over; a closing owner dies with the last one. */
void owner_hold(struct owner *owner);
void owner_release(struct owner *owner);

#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

#endif
