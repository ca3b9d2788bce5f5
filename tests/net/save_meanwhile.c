/* save_meanwhile.c - somebody saves a file while the program is about to replace it, for
 * test_unblock.py.
 *
 *     LD_PRELOAD=libsave_meanwhile.so SAVE_FROM=PATH SAVE_TO=PATH program
 *
 * When the program brings a file to the disk, before it renames it, SAVE_FROM is moved to SAVE_TO,
 * if it is there. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int fsync(int fd)
{
	const char *from = getenv("SAVE_FROM"), *to = getenv("SAVE_TO");

	if (from && to)
		(void)rename(from, to);
	return (int)syscall(SYS_fsync, fd);
}
