/* status.h - what a running ringfence says about itself, over a socket in the file system.
 *
 * Whoever may open the socket and connects gets lines of `key value`, the last one `end`, and the
 * end of the stream.  Nothing is read from him, so there is nothing to attack; a text is made in
 * one go and written without waiting, so nobody can make the control thread wait, and nobody is
 * kept.
 *
 * Where: a path that was given (CONTROL_SOCKET), or a name in the first of /run/ringfence,
 * /dev/shm/ringfence and /tmp/ringfence that can be written, a folder of our own.  The name carries
 * the network namespace, so that instances in several of them can share a file system, and both
 * ends find it from the same environment.  An abstract socket would be visible to the workload
 * (decisions.md 27). */
#ifndef CORE_STATUS_H
#define CORE_STATUS_H

#include <sys/socket.h>
#include <sys/un.h>

#include "core/control.h"
#include "proto/str.h"

enum {
	STATUS_TEXT_MAX = 128 << 10,    /* fits a socket's buffer: written whole or not at all */
	STATUS_ERROR_MAX = 512,
	STATUS_PATH_MAX = (int)sizeof(((struct sockaddr_un *)0)->sun_path),
	STATUS_STEM_MAX = 32,
};

struct status_text {
	size_t len;
	bool cut;                       /* there was more: whoever reads it is told */
	char at[STATUS_TEXT_MAX];
};

/* Add `key value`.  What is not printable in the value becomes a question mark. */
__attribute__((format(printf, 3, 4)))
void status_add(struct status_text *text, const char *key, const char *format, ...);

struct status_place {
	const char *path;               /* CONTROL_SOCKET; "": the usual place */
	const char *stem;               /* there, the name's beginning: "filter" */
};

typedef void status_fn(void *context, struct status_text *text);

struct status;

/* Answer from now on, on the control thread.  0, or -errno with one line in error: -EADDRINUSE when
 * a living process answers there; what a dead one left is replaced. */
int status_open(struct control *control, const struct status_place *place, status_fn *fill,
		void *context, struct status **status, char error[STATUS_ERROR_MAX]);
const char *status_path(const struct status *status);
void status_close(struct status *status);               /* NULL is fine */

/* The other end: a whole text, or -errno with one line in error that says what to do: -ENOENT and
 * -ECONNREFUSED when nobody is there, -ETIMEDOUT when it is stuck.  Blocks for patience_ms. */
int status_read(const struct status_place *place, unsigned patience_ms, struct status_text *text,
		char error[STATUS_ERROR_MAX]);
/* The value of the first line with this key; at is NULL when there is none. */
struct str status_value(const struct status_text *text, const char *key);
/* The same as a number; false when there is none. */
bool status_number(const struct status_text *text, const char *key, uint64_t *number);

#endif
