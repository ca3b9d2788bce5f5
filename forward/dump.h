/* dump.h - VERBOSE=2: what passes, on stderr, as `socat -v` shows it.  For looking at a problem,
 * not for every day: the worker writes itself, and waits for whoever reads stderr. */
#ifndef FORWARD_DUMP_H
#define FORWARD_DUMP_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum {
	DUMP_HEAD_MAX = 128,            /* the line before the bytes */
	DUMP_LEN_MAX = 65536,           /* bytes of one piece */
};

enum dump_direction { DUMP_UP = '>', DUMP_DOWN = '<' };

/* One piece, from the from-th byte (counted from 0) of its direction on.  len: not 0, at most
 * DUMP_LEN_MAX.  out: DUMP_HEAD_MAX + 2 * len bytes.  Returns how many were written.
 *
 *     > 2026/11/21 23:26:02.000264498  length=5 from=0 to=4
 *     hello
 *
 * The fraction is microseconds in nine digits; no newline follows the bytes. */
size_t dump_format(char *out, enum dump_direction direction, const struct timespec *when,
		   uint64_t from, const uint8_t *data, size_t len);

/* The same with the time of now, to stderr.  Longer pieces are shown as several. */
void dump(enum dump_direction direction, uint64_t from, const uint8_t *data, size_t len);

#endif
