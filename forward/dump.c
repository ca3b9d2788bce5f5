/* dump.c - what passes, on stderr, as `socat -v` shows it. */
#include "forward/dump.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

/* One byte as socat shows it: what would move the cursor is escaped, but for tab and newline. */
static char *put_byte(char *at, uint8_t byte)
{
	static const char escapes[] = { ['\a'] = 'a', ['\b'] = 'b', ['\v'] = 'v', ['\f'] = 'f',
					['\r'] = 'r', ['\\'] = '\\' };

	if (byte < sizeof(escapes) && escapes[byte] != '\0') {
		*at++ = '\\';
		*at++ = escapes[byte];
	} else if (byte == '\t' || byte == '\n' || (byte >= ' ' && byte <= '~')) {
		*at++ = (char)byte;
	} else {
		*at++ = '.';
	}
	return at;
}

size_t dump_format(char *out, enum dump_direction direction, const struct timespec *when,
		   uint64_t from, const uint8_t *data, size_t len)
{
	char time[40], *at;
	struct tm local;
	int head;

	assert(len > 0 && len <= DUMP_LEN_MAX);
	localtime_r(&when->tv_sec, &local);
	if (strftime(time, sizeof(time), "%Y/%m/%d %H:%M:%S", &local) == 0)
		time[0] = '\0';
	head = snprintf(out, DUMP_HEAD_MAX, "%c %s.%09ld  length=%zu from=%llu to=%llu\n",
			(char)direction, time, when->tv_nsec / 1000, len,
			(unsigned long long)from, (unsigned long long)(from + len - 1));
	assert(head > 0 && head < DUMP_HEAD_MAX);
	at = out + head;
	for (size_t i = 0; i < len; i++)
		at = put_byte(at, data[i]);
	return (size_t)(at - out);
}

/* All of it, as one write(2) unless stderr takes less.  A worker that waits here serves nobody:
 * that is what VERBOSE=2 is, a debugging aid that loses nothing. */
static void write_all(const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDERR_FILENO, text, len);

		if (n < 0 && errno == EAGAIN)
			(void)poll(&(struct pollfd){ .fd = STDERR_FILENO, .events = POLLOUT }, 1,
				   -1);
		else if (n < 0 && errno != EINTR)
			return;                 /* nobody reads it any more */
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
}

static void dump_one(enum dump_direction direction, uint64_t from, const uint8_t *data, size_t len)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static char text[DUMP_HEAD_MAX + 2 * DUMP_LEN_MAX];
	struct timespec now;

	/* A pipe takes long pieces in parts: another worker's would come between. */
	pthread_mutex_lock(&lock);
	clock_gettime(CLOCK_REALTIME, &now);
	write_all(text, dump_format(text, direction, &now, from, data, len));
	pthread_mutex_unlock(&lock);
}

void dump(enum dump_direction direction, uint64_t from, const uint8_t *data, size_t len)
{
	while (len > 0) {
		size_t n = len < DUMP_LEN_MAX ? len : DUMP_LEN_MAX;

		dump_one(direction, from, data, n);
		from += n;
		data += n;
		len -= n;
	}
}
