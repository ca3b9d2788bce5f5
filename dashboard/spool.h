/* spool.h - texts in files, in order, until they have arrived: what is not delivered when we end,
 * by kill -9 too, is delivered by the next one.
 *
 * A folder holds NAME-00000001.jsonl and so on, one text a line, and NAME.position: the file and
 * the offset up to which all has arrived.  The position is written after the texts have arrived:
 * the end of a process between the two delivers a few of them twice.  A line is whole once it is
 * written; nothing is synced, so a power failure may cost the last seconds. */
#ifndef DASHBOARD_SPOOL_H
#define DASHBOARD_SPOOL_H

#include "proto/str.h"

enum { SPOOL_ERROR_MAX = 384, SPOOL_BYTES_MIN = 64 << 10 };

struct spool;

/* bytes_max: of all files together.  0, or -errno with one line in error: also -EBUSY when another
 * process has the folder. */
int spool_open(struct spool **spool, const char *folder, const char *name, uint64_t bytes_max,
	       char error[SPOOL_ERROR_MAX]);
void spool_close(struct spool *spool);  /* NULL is fine */

/* Texts without line ends, to be written with the next spool_write().  When there is no room the
 * oldest file goes; *dropped grows by the texts in it that had not arrived. */
void spool_push(struct spool *spool, struct str text, uint64_t *dropped);
/* Write what was pushed.  0 or -errno; what could not be written is dropped. */
int spool_write(struct spool *spool, uint64_t *dropped);

uint64_t spool_count(const struct spool *spool);        /* texts not popped */

/*
 * Copy the oldest texts into out, with commas between them: at most count_max, and as many as fit
 * into size; not all that there are.  Returns how many, *len their bytes.  What is no JSON object,
 * or does not fit alone, is left out for good and counted in *dropped.
 */
unsigned spool_peek(struct spool *spool, unsigned count_max, char *out, size_t size, size_t *len,
		    uint64_t *dropped);
/* All that spool_peek() gave last have arrived; no matter if some were dropped meanwhile. */
void spool_pop(struct spool *spool);

#endif
