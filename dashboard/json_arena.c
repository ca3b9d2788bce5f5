/* json_arena.c - one block, and a mark in it. */
#include "dashboard/json_arena.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

/* A usual transaction's block stays in memory; what a large one took goes back. */
enum { ARENA_SIZE = 64 << 20, ARENA_KEPT = 8 << 20, ALIGNED = 16 };

static unsigned char *block;
static size_t used;
static _Thread_local bool begun;

static void *arena_alloc(size_t size)
{
	size_t padded = (size + ALIGNED - 1) / ALIGNED * ALIGNED;
	void *piece;

	if (!begun || size > ARENA_SIZE || padded > ARENA_SIZE - used)
		return malloc(size);
	piece = block + used;
	used += padded;
	return piece;
}

static void arena_free(void *piece)
{
	uintptr_t at = (uintptr_t)piece, start = (uintptr_t)block;

	if (at < start || at - start >= ARENA_SIZE)
		free(piece);
}

void json_arena_open(void)
{
	void *mapped;

	if (block)
		return;
	mapped = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mapped == MAP_FAILED)
		return;
	block = mapped;
	json_set_alloc_funcs(arena_alloc, arena_free);
}

void json_arena_begin(void)
{
	begun = block != NULL;
}

void json_arena_end(void)
{
	if (begun && used > ARENA_KEPT)
		(void)madvise(block + ARENA_KEPT, ARENA_SIZE - ARENA_KEPT, MADV_DONTNEED);
	used = 0;
	begun = false;
}
