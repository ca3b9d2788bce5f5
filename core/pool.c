/* pool.c - a fixed array of one struct with a free list. */
#include "core/pool.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define POOL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_ASAN 1
#endif
#endif

#ifdef POOL_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, len) ((void)(at), (void)(len))
#define ASAN_UNPOISON_MEMORY_REGION(at, len) ((void)(at), (void)(len))
#endif

enum { ALIGN = 64 };

int pool_init(struct pool *pool, size_t item_size, uint32_t count)
{
	size_t size = (item_size + ALIGN - 1) / ALIGN * ALIGN;
	void *at = mmap(NULL, size * count, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		return -ENOMEM;
	*pool = (struct pool){ .memory = at, .item_size = size, .count = count };
	return 0;
}

void pool_finish(struct pool *pool)
{
	if (!pool->memory)
		return;
	assert(pool->used == 0);
	ASAN_UNPOISON_MEMORY_REGION(pool->memory, pool->item_size * pool->count);
	munmap(pool->memory, pool->item_size * pool->count);
	*pool = (struct pool){ 0 };
}

void *pool_item(const struct pool *pool, uint32_t index)
{
	assert(index < pool->fresh);
	return pool->memory + pool->item_size * index;
}

void *pool_take(struct pool *pool)
{
	void *item = pool->free;

	if (item) {
		ASAN_UNPOISON_MEMORY_REGION(item, pool->item_size);
		memcpy(&pool->free, item, sizeof(pool->free));
	} else if (pool->fresh < pool->count) {
		item = pool->memory + pool->item_size * pool->fresh++;
	} else {
		return NULL;
	}
	pool->used++;
	return item;
}

void pool_give(struct pool *pool, void *item)
{
	assert(pool->used > 0);
	pool->used--;
	memcpy(item, &pool->free, sizeof(pool->free));
	pool->free = item;
	/* The walk of pool_item() may look at a free item: callers keep their mark out of the
	 * poisoned part only if they unpoison; so only the tail is poisoned. */
	ASAN_POISON_MEMORY_REGION((uint8_t *)item + ALIGN, pool->item_size - ALIGN);
}

void pool_trim(struct pool *pool)
{
	if (pool->used > 0 || pool->fresh == 0)
		return;
	ASAN_UNPOISON_MEMORY_REGION(pool->memory, pool->item_size * pool->fresh);
	(void)madvise(pool->memory, pool->item_size * pool->fresh, MADV_DONTNEED);
	pool->free = NULL;
	pool->fresh = 0;
}
