/* alloc_count.c - counts what a program allocates, for test_allocation.py.
 *
 *     LD_PRELOAD=liballoc_count.so ALLOC_COUNT_FILE=PATH program
 *
 * PATH is a shared mapping of struct counts: one for the main thread, one for all others together.
 * Whatever glibc allocates for its own use passes here too.  glibc's own functions do the work, by
 * the names it exports for that, so that nothing has to be looked up and nothing can come back here
 * before it is found.  The heap grows by brk(2) only inside malloc(), which is counted. */
#undef _FILE_OFFSET_BITS                /* else mmap() would be a name for mmap64() */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As test_allocation.py reads it. */
struct counts {
	_Atomic uint64_t allocations, frees, maps;      /* maps: anonymous memory */
	_Atomic uint64_t last_caller, last_size;        /* of an allocation or a map */
};

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *at, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *at);

enum { MAIN, OTHERS, THREAD_KINDS, UNKNOWN = THREAD_KINDS };

static struct counts before_start[THREAD_KINDS], *counts = before_start;

static struct counts *mine(void)
{
	static _Thread_local int kind __attribute__((tls_model("initial-exec"))) = UNKNOWN;

	if (kind == UNKNOWN)
		kind = syscall(SYS_gettid) == syscall(SYS_getpid) ? MAIN : OTHERS;
	return &counts[kind];
}

static void note(struct counts *counts_, _Atomic uint64_t *which, size_t size, void *caller)
{
	atomic_fetch_add(which, 1);
	counts_->last_caller = (uintptr_t)caller;
	counts_->last_size = size;
}

static void allocated(size_t size, void *caller)
{
	struct counts *counts_ = mine();

	note(counts_, &counts_->allocations, size, caller);
}

#define CALLER __builtin_return_address(0)

void *malloc(size_t size)
{
	allocated(size, CALLER);
	return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	allocated(count * size, CALLER);
	return __libc_calloc(count, size);
}

void *realloc(void *at, size_t size)
{
	allocated(size, CALLER);
	return __libc_realloc(at, size);
}

void *memalign(size_t align, size_t size)
{
	allocated(size, CALLER);
	return __libc_memalign(align, size);
}

void *aligned_alloc(size_t align, size_t size)
{
	allocated(size, CALLER);
	return __libc_memalign(align, size);
}

int posix_memalign(void **at, size_t align, size_t size)
{
	void *memory;

	allocated(size, CALLER);
	if (align % sizeof(void *) != 0 || align == 0 || (align & (align - 1)) != 0)
		return EINVAL;
	memory = __libc_memalign(align, size);
	if (!memory)
		return ENOMEM;
	*at = memory;
	return 0;
}

void free(void *at)
{
	if (at)
		atomic_fetch_add(&mine()->frees, 1);
	__libc_free(at);
}

static void mapped(size_t size, int flags, void *caller)
{
	struct counts *counts_ = mine();

	if (flags & MAP_ANONYMOUS)
		note(counts_, &counts_->maps, size, caller);
}

void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
	mapped(len, flags, CALLER);
	return (void *)syscall(SYS_mmap, at, len, prot, flags, fd, offset);
}

void *mmap64(void *at, size_t len, int prot, int flags, int fd, off64_t offset)
{
	mapped(len, flags, CALLER);
	return (void *)syscall(SYS_mmap, at, len, prot, flags, fd, offset);
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("ALLOC_COUNT_FILE");
	int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644) : -1;
	void *at;

	if (fd < 0)
		return;
	if (ftruncate(fd, sizeof(before_start)) == 0) {
		at = mmap(NULL, sizeof(before_start), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (at != MAP_FAILED)
			counts = at;
	}
	close(fd);
}
