/* pipes.c - pipes to move bytes through, lent and returned. */
#include "core/pipes.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { RETRY_MS = 1000 };

static void pipe_close(struct pipe *pipe)
{
	close(pipe->in);
	close(pipe->out);
	*pipe = (struct pipe){ .in = -1, .out = -1 };
}

/* The more there are the smaller: all of a worker take 40 MiB of the 64 that a user may have. */
static int size_wanted(unsigned open_count)
{
	static const struct { unsigned below; int size; } sizes[] = {
		{ 16, PIPE_MOST }, { 64, PIPE_MOST / 4 }, { PIPES_MAX, PIPE_LEAST },
	};
	unsigned i = 0;

	while (open_count >= sizes[i].below)
		i++;
	return sizes[i].size;
}

static int pipe_open(struct pipe *pipe, int wanted)
{
	int fds[2], size = -1;

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	for (; wanted >= PIPE_LEAST && size < 0; wanted /= 2)
		size = fcntl(fds[1], F_SETPIPE_SZ, wanted);
	*pipe = (struct pipe){ .in = fds[1], .out = fds[0], .size = size > 0 ? (uint32_t)size : 0 };
	if (size > 0)
		return 0;
	pipe_close(pipe);
	return -EPERM;
}

int pipes_take(struct pipes *pipes, uint64_t now_ms, struct pipe *pipe)
{
	int err;

	if (pipes->spare_count > 0) {
		*pipe = pipes->spare[--pipes->spare_count];
		return 0;
	}
	if (pipes->open_count == PIPES_MAX || now_ms < pipes->retry_ms)
		return -ENOSPC;
	err = pipe_open(pipe, size_wanted(pipes->open_count));
	if (err < 0)
		pipes->retry_ms = now_ms + RETRY_MS;
	else
		pipes->open_count++;
	return err;
}

void pipes_give(struct pipes *pipes, struct pipe *pipe, uint32_t left)
{
	assert(pipes->spare_count < PIPES_MAX);
	if (left == 0) {
		pipes->spare[pipes->spare_count++] = *pipe;
		return;
	}
	pipe_close(pipe);
	pipes->open_count--;
}

void pipes_finish(struct pipes *pipes)
{
	while (pipes->spare_count > 0)
		pipe_close(&pipes->spare[--pipes->spare_count]);
	pipes->open_count = 0;
}
