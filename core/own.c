/* own.c - questions of ours that are on their way upstream, by id.
 * A slot holds a mark of the name and type; strangers do not learn which id to send, so the mark
 * needs no secret. */
#include "core/own.h"

#include <stdatomic.h>

static _Atomic uint32_t slots[1 << 16]; /* 0: none */

/* FNV-1a */
static uint32_t mark_of(uint16_t type, const uint8_t *name, size_t name_len)
{
	uint32_t mark = (2166136261U ^ type) * 16777619U;

	for (size_t i = 0; i < name_len; i++)
		mark = (mark ^ name[i]) * 16777619U;
	return mark | 1;
}

void own_add(const struct dns_question *question)
{
	atomic_store_explicit(&slots[question->id],
			      mark_of(question->type, question->name, question->name_len),
			      memory_order_relaxed);
}

void own_remove(const struct dns_question *question)
{
	uint32_t mark = mark_of(question->type, question->name, question->name_len);

	(void)atomic_compare_exchange_strong_explicit(&slots[question->id], &mark, 0,
						      memory_order_relaxed, memory_order_relaxed);
}

bool own_has(uint16_t id, uint16_t type, const uint8_t *name, size_t name_len)
{
	uint32_t mark = atomic_load_explicit(&slots[id], memory_order_relaxed);

	return mark != 0 && mark == mark_of(type, name, name_len);
}
