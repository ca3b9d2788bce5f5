/* log_file.h - where lines go: stdout, or a file that is rotated and can be opened anew.
 * Not thread-safe: log.c holds its lock around every call. */
#ifndef CORE_LOG_FILE_H
#define CORE_LOG_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	LOG_FILE_PATH_MAX = 4096,
	LOG_FILE_KEEP = 7,              /* rotated files that stay (spec g0efilter 9.5) */
	LOG_FILE_KEEP_DAYS = 28,
};
#define LOG_FILE_ROTATE_BYTES UINT64_C(100000000)

struct log_file {
	int fd;                         /* -1: not open */
	bool named;                     /* a file of ours; false: stdout, which stays open */
	bool torn;                      /* the last line went out in part */
	bool stalled;                   /* a pipe that nobody reads: lines are lost */
	bool told;                      /* on stderr, that lines are lost, since one went out */
	uint64_t size;                  /* of a regular file; what is not one is never rotated */
	uint64_t rotate_bytes;          /* 0: never */
	uint64_t lost;                  /* lines that could not be written, whole or in part */
	char path[LOG_FILE_PATH_MAX];
};

/* path NULL or "": stdout.  Missing folders are made (0755), the file is 0600 and appended to.
 * 0 or -errno, the file then not open. */
int log_file_open(struct log_file *file, const char *path);
/* Open the same path again, because somebody moved the file.  On error the old one stays open. */
int log_file_reopen(struct log_file *file);
void log_file_close(struct log_file *file);

/*
 * Write one line with one write(2).  line[len - 1] is the newline; line[-1] must be writable: after
 * a torn line it becomes a newline, so that what follows is a line of its own.  A line that cannot
 * be written is counted in lost and dropped.  Returns whether it went out whole.
 */
bool log_file_write(struct log_file *file, char *line, size_t len);

#endif
