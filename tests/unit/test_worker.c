/* test_worker.c - several workers: each in a descriptor table of its own, and each heard by all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/worker.h"

enum { WORKERS = 4, ROUNDS = 200, PATIENCE_S = 30 };

static struct workers workers;
static struct token {
	struct post post;
	unsigned hops;
	sem_t home;
} token;
static int secret_fd;                   /* opened before the workers: not to be seen by them */
static struct stat secret;
static _Atomic unsigned seen;

/* On each worker in turn. */
static void pass_on(struct post *post)
{
	struct token *passed = container_of(post, struct token, post);

	if (++passed->hops == WORKERS * ROUNDS)
		sem_post(&passed->home);
	else
		loop_post(&workers.all[passed->hops % WORKERS].loop, &passed->post);
}

static int begin(struct worker *worker)
{
	struct stat there;              /* the number may be another file's by now */

	(void)worker;
	if (fstat(secret_fd, &there) == 0 && there.st_dev == secret.st_dev &&
	    there.st_ino == secret.st_ino)
		atomic_fetch_add(&seen, 1);
	/* What stands where another worker's eventfd would: a message must not go there. */
	for (unsigned i = 0; i < 8; i++)
		(void)open("/dev/null", O_RDWR | O_CLOEXEC);
	return 0;
}

static void end(struct worker *worker)
{
	(void)worker;
}

static bool idle(struct worker *worker)
{
	(void)worker;
	return true;
}

static const struct worker_job job = { .begin = begin, .end = end, .idle = idle, .finish = end };

static void a_worker_can_post_to_every_other_one(void **state)
{
	struct timespec until;
	int event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	(void)state;
	secret_fd = memfd_create("secret", MFD_CLOEXEC);
	assert_int_equal(fstat(secret_fd, &secret), 0);
	sem_init(&token.home, 0, 0);
	token.post.run = pass_on;
	assert_int_equal(workers_start(&workers, WORKERS, &job, event_fd), 0);
	loop_post(&workers.all[0].loop, &token.post);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	assert_int_equal(sem_timedwait(&token.home, &until), 0);
	assert_int_equal(token.hops, WORKERS * ROUNDS);
	workers_stop(&workers);
	workers_finish(&workers);
	assert_int_equal(atomic_load(&seen), 0);
	close(secret_fd);
	close(event_fd);
}

static int refuse(struct worker *worker)
{
	return worker->index == WORKERS - 1 ? -EADDRINUSE : 0;
}

static void when_one_cannot_begin_all_end(void **state)
{
	struct worker_job refusing = job;
	int event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	(void)state;
	refusing.begin = refuse;
	assert_int_equal(workers_start(&workers, WORKERS, &refusing, event_fd), -EADDRINUSE);
	workers_finish(&workers);
	close(event_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_worker_can_post_to_every_other_one),
		cmocka_unit_test(when_one_cannot_begin_all_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
