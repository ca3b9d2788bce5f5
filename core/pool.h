/* pool.h - a fixed array of one struct with a free list.
 * Memory is reserved at start and resident only where it was used; full means refuse. */
#ifndef CORE_POOL_H
#define CORE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pool {
	uint8_t *memory;
	size_t item_size;
	uint32_t count, used, fresh;    /* in all, taken now, never taken yet: from fresh on */
	void *free;                     /* the last given back comes first: its lines are warm */
};

/* item_size is rounded up to 64 bytes.  0 or -ENOMEM. */
int pool_init(struct pool *pool, size_t item_size, uint32_t count);
void pool_finish(struct pool *pool);
/* Contents are undefined; NULL when all are taken. */
void *pool_take(struct pool *pool);
/* Poisoned where the compiler can watch: a later look at it is a bug that shows. */
void pool_give(struct pool *pool, void *item);
/* When none is taken: the memory of those that were goes back to the system. */
void pool_trim(struct pool *pool);
/* Walk all items that were ever taken; the caller tells which are in use. */
void *pool_item(const struct pool *pool, uint32_t index);

#endif
