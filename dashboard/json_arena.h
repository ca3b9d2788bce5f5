/* json_arena.h - the memory of JSON values that are made and released together.
 *
 * An ingest transaction makes some hundred thousand of them: between begin and end they are cut off
 * one block, of which nothing is given back before its end.  For one thread at a time, the
 * writer's; all others, and what is beyond the block, have malloc(). */
#ifndef DASHBOARD_JSON_ARENA_H
#define DASHBOARD_JSON_ARENA_H

/* Before any thread is there.  Without memory for it all have malloc(). */
void json_arena_open(void);
/* Every value that the thread makes between them is released before end. */
void json_arena_begin(void);
void json_arena_end(void);

#endif
