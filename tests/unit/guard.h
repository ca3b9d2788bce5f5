/* guard.h - bytes that end at an unmapped page, so that one read too far is a crash. */
#ifndef TESTS_UNIT_GUARD_H
#define TESTS_UNIT_GUARD_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

enum { GUARD_ROOM = 1 << 20, GUARD_PAGES = 1 << 16 }; /* the largest page size Linux has here */

/* A copy of data[0..len), len at most GUARD_ROOM, right before an unmapped page; valid until the
 * next call. */
static inline const uint8_t *guarded(const uint8_t *data, size_t len)
{
	static uint8_t *end;

	assert(len <= GUARD_ROOM);
	if (!end) {
		uint8_t *map = mmap(NULL, GUARD_ROOM + GUARD_PAGES, PROT_READ | PROT_WRITE,
				    MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);

		assert(map != MAP_FAILED);
		end = map + GUARD_ROOM;
		int err = mprotect(end, GUARD_PAGES, PROT_NONE);

		assert(err == 0);
		(void)err;
	}
	if (len > 0)
		memcpy(end - len, data, len);
	return end - len;
}

#endif
