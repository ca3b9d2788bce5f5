/* pipes.h - pipes to move bytes through by splice(2): a bounded number, lent and returned.
 *
 * Users without CAP_SYS_RESOURCE may have /proc/sys/fs/pipe-user-pages-soft pages in pipes (64 MiB
 * as a rule), all their processes together; near that only smaller ones, and beyond it the kernel
 * gives pipes of a page or two, which are worse than copying.  So a pipe of less than PIPE_LEAST is
 * not used: no pipe to be had means copy. */
#ifndef CORE_PIPES_H
#define CORE_PIPES_H

#include <stdint.h>

struct pipe {
	int in, out;                    /* write end, read end; -1: not open */
	uint32_t size;                  /* bytes it takes */
};

enum { PIPES_MAX = 256, PIPE_MOST = 1 << 20, PIPE_LEAST = 1 << 16 };

struct pipes {
	struct pipe spare[PIPES_MAX];   /* empty ones */
	unsigned spare_count, open_count;
	uint64_t retry_ms;              /* the kernel gave none: not again before */
};

/* An empty pipe of at least PIPE_LEAST bytes; 0, or -ENOSPC, -EMFILE, -EPERM: copy instead. */
int pipes_take(struct pipes *pipes, uint64_t now_ms, struct pipe *pipe);
/* bytes left in it: then it is closed, because they are of a dead connection. */
void pipes_give(struct pipes *pipes, struct pipe *pipe, uint32_t left);
void pipes_finish(struct pipes *pipes);

#endif
