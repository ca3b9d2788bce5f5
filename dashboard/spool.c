/* spool.c - texts in files, in order, until they have arrived. */
#include "dashboard/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dashboard/spool_files.h"

enum {
	SEGMENTS_MAX = 64,
	SEGMENTS_USUAL = 16,            /* of bytes_max */
	NAME_MAX_ = 24,
	PENDING_MAX = 256 << 10,
	ROLL_BYTES = 64 << 10,          /* a file that has arrived whole and is larger is removed */
};

struct segment {                        /* one file */
	uint32_t number;
	uint64_t size, count;           /* bytes; texts not popped */
};

struct spool {
	int folder_fd, position_fd, read_fd, write_fd;
	char name[NAME_MAX_];
	struct segment segments[SEGMENTS_MAX];  /* oldest first; the last is written */
	unsigned segment_count;
	uint64_t offset;                /* in the first: all before it has arrived */
	uint64_t bytes_max, segment_max;
	uint64_t lost;                  /* texts that went when it was opened, not told yet */
	unsigned peeked;                /* texts from there on, on their way */
	uint64_t peeked_bytes;
	unsigned pending_count;
	size_t pending_len;
	char pending[PENDING_MAX];
};

static void file_name(const struct spool *spool, uint32_t number, char out[64])
{
	snprintf(out, 64, "%s-%08" PRIu32 ".jsonl", spool->name, number);
}

static struct segment *last_of(struct spool *spool)
{
	return &spool->segments[spool->segment_count - 1];
}

static void note_position(struct spool *spool)
{
	char text[48];
	int len = snprintf(text, sizeof(text), "%08" PRIu32 " %020" PRIu64 "\n",
			   spool->segments[0].number, spool->offset);

	(void)!pwrite(spool->position_fd, text, (size_t)len, 0);
}

static int open_file(const struct spool *spool, uint32_t number, int flags)
{
	char name[64];
	int fd;

	file_name(spool, number, name);
	fd = openat(spool->folder_fd, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

/* Another file to write to, the last. */
static int segment_add(struct spool *spool, uint32_t number)
{
	int fd = open_file(spool, number, O_WRONLY | O_APPEND | O_CREAT | O_EXCL);

	if (fd < 0)
		return fd;
	if (spool->write_fd >= 0)
		close(spool->write_fd);
	spool->write_fd = fd;
	spool->segments[spool->segment_count++] = (struct segment){ .number = number };
	return 0;
}

static void segment_remove_first(struct spool *spool)
{
	char name[64];

	file_name(spool, spool->segments[0].number, name);
	(void)unlinkat(spool->folder_fd, name, 0);
	if (spool->read_fd >= 0)
		close(spool->read_fd);
	spool->read_fd = -1;
	spool->segment_count--;
	memmove(spool->segments, spool->segments + 1,
		spool->segment_count * sizeof(*spool->segments));
	spool->offset = 0;
	spool->peeked = 0;
	if (spool->segment_count > 0)
		note_position(spool);
}

static uint64_t total_bytes(const struct spool *spool)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < spool->segment_count; i++)
		total += spool->segments[i].size;
	return total;
}

/* Start */

/* How many lines are there from offset on, and where does the last one end? */
static int measure(const struct spool *spool, struct segment *segment, uint64_t offset)
{
	char bytes[16384];
	int fd = open_file(spool, segment->number, O_RDWR);
	uint64_t at = offset, whole = offset;
	ssize_t len;

	if (fd < 0)
		return fd;
	while ((len = pread(fd, bytes, sizeof(bytes), (off_t)at)) > 0) {
		for (ssize_t i = 0; i < len; i++) {
			if (bytes[i] != '\n')
				continue;
			segment->count++;
			whole = at + (uint64_t)i + 1;
		}
		at += (uint64_t)len;
	}
	/* A line without its end was being written when the process ended. */
	if (whole < at && ftruncate(fd, (off_t)whole) < 0)
		len = -1;
	segment->size = whole;
	close(fd);
	return len < 0 ? -EIO : 0;
}

/* Where the last process had come to. */
static void read_position(const struct spool *spool, unsigned *number, uint64_t *offset)
{
	char text[48] = "";

	if (pread(spool->position_fd, text, sizeof(text) - 1, 0) < 0 ||
	    sscanf(text, "%8u %20" SCNu64, number, offset) != 2)
		*number = 0, *offset = 0;
}

static uint64_t size_of_file(const struct spool *spool, const char *name)
{
	struct stat stat_;

	return fstatat(spool->folder_fd, name, &stat_, AT_SYMLINK_NOFOLLOW) == 0
		? (uint64_t)stat_.st_size : 0;
}

/* What has arrived and what is empty goes, and of more than there is room for the oldest. */
static int sift(struct spool *spool, uint32_t *numbers, size_t count)
{
	uint64_t offset = 0, size = 0;
	unsigned position = 0;
	size_t kept = 0;
	int err = 0;

	read_position(spool, &position, &offset);
	for (size_t i = 0; i < count; i++) {
		char name[64];

		file_name(spool, numbers[i], name);
		size = size_of_file(spool, name);
		if (numbers[i] == position && offset > size)
			offset = 0;
		if (size == 0 || numbers[i] < position)
			(void)unlinkat(spool->folder_fd, name, 0);
		else
			numbers[kept++] = numbers[i];
	}
	for (size_t i = 0; i < kept && err == 0; i++) {
		struct segment segment = { .number = numbers[i] };
		char name[64];

		err = measure(spool, &segment, segment.number == position ? offset : 0);
		file_name(spool, segment.number, name);
		if (kept - i > SEGMENTS_MAX - 1) {
			spool->lost += segment.count;
			(void)unlinkat(spool->folder_fd, name, 0);
			continue;
		}
		if (spool->segment_count == 0 && segment.number == position)
			spool->offset = offset;
		spool->segments[spool->segment_count++] = segment;
	}
	return err;
}

static int find_segments(struct spool *spool)
{
	uint32_t *numbers = NULL;
	size_t count = 0;
	int err = spool_files(spool->folder_fd, spool->name, &numbers, &count);

	if (err == 0)
		err = sift(spool, numbers, count);
	free(numbers);
	return err;
}

/* Go on in the last file, or else every start would add one; all lines in it are whole. */
static int open_last(struct spool *spool)
{
	struct segment *last = spool->segment_count > 0 ? last_of(spool) : NULL;
	int fd;

	if (!last)
		return segment_add(spool, 1);
	if (last->size >= spool->segment_max || (last->count == 0 && last->size > ROLL_BYTES))
		return segment_add(spool, last->number + 1);
	fd = open_file(spool, last->number, O_WRONLY | O_APPEND);
	if (fd < 0)
		return fd;
	spool->write_fd = fd;
	return 0;
}

static int open_all(struct spool *spool, const char *folder)
{
	char name[64];
	int err;

	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		return -errno;
	spool->folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (spool->folder_fd < 0)
		return -errno;
	snprintf(name, sizeof(name), "%s.position", spool->name);
	spool->position_fd = openat(spool->folder_fd, name,
				    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (spool->position_fd < 0)
		return -errno;
	if (flock(spool->position_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	err = find_segments(spool);
	if (err == 0)
		err = open_last(spool);
	if (err < 0)
		return err;
	while (spool->segment_count > 1 && spool->segments[0].count == 0)
		segment_remove_first(spool);
	note_position(spool);
	return 0;
}

int spool_open(struct spool **out, const char *folder, const char *name, uint64_t bytes_max,
	       char error[SPOOL_ERROR_MAX])
{
	struct spool *spool = calloc(1, sizeof(*spool));
	int err = spool ? 0 : -ENOMEM;

	if (spool) {
		spool->folder_fd = spool->position_fd = spool->read_fd = spool->write_fd = -1;
		spool->bytes_max = bytes_max < SPOOL_BYTES_MIN ? SPOOL_BYTES_MIN : bytes_max;
		spool->segment_max = spool->bytes_max / SEGMENTS_USUAL;
		text_copy(spool->name, sizeof(spool->name), name);
		err = open_all(spool, folder);
	}
	if (err < 0) {
		snprintf(error, SPOOL_ERROR_MAX, "%.200s: %s", folder,
			 err == -EBUSY ? "another process spools there: give each a folder of its "
					 "own" : strerror(-err));
		spool_close(spool);
		return err;
	}
	*out = spool;
	return 0;
}

void spool_close(struct spool *spool)
{
	uint64_t dropped;

	if (!spool)
		return;
	if (spool->write_fd >= 0)
		(void)spool_write(spool, &dropped);
	if (spool->write_fd >= 0)
		close(spool->write_fd);
	if (spool->read_fd >= 0)
		close(spool->read_fd);
	if (spool->position_fd >= 0)
		close(spool->position_fd);
	if (spool->folder_fd >= 0)
		close(spool->folder_fd);
	free(spool);
}

/* In */

static void make_room(struct spool *spool, size_t len, uint64_t *dropped)
{
	while (spool->segment_count > 1 && total_bytes(spool) + len > spool->bytes_max) {
		*dropped += spool->segments[0].count;
		segment_remove_first(spool);
	}
}

int spool_write(struct spool *spool, uint64_t *dropped)
{
	struct segment *last = last_of(spool);
	size_t done = 0;
	ssize_t len = 0;
	int err = 0;

	if (spool->pending_len == 0)
		return 0;
	if (last->size > 0 && last->size + spool->pending_len > spool->segment_max &&
	    spool->segment_count < SEGMENTS_MAX) {
		err = segment_add(spool, last->number + 1);
		last = last_of(spool);
	}
	make_room(spool, spool->pending_len, dropped);
	last = last_of(spool);
	while (err == 0 && done < spool->pending_len) {
		len = write(spool->write_fd, spool->pending + done, spool->pending_len - done);
		if (len < 0 && errno != EINTR)
			err = -errno;
		else if (len > 0)
			done += (size_t)len;
	}
	if (err == 0) {
		last->size += spool->pending_len;
		last->count += spool->pending_count;
	} else {
		*dropped += spool->pending_count;
		if (done > 0)           /* half of it would make the next line a strange one */
			(void)!ftruncate(spool->write_fd, (off_t)last->size);
	}
	spool->pending_len = 0;
	spool->pending_count = 0;
	return err;
}

void spool_push(struct spool *spool, struct str text, uint64_t *dropped)
{
	*dropped += spool->lost;
	spool->lost = 0;
	if (text.len + 1 > sizeof(spool->pending)) {
		(*dropped)++;
		return;
	}
	if (spool->pending_len + text.len + 1 > sizeof(spool->pending))
		(void)spool_write(spool, dropped);
	memcpy(spool->pending + spool->pending_len, text.at, text.len);
	spool->pending_len += text.len;
	spool->pending[spool->pending_len++] = '\n';
	spool->pending_count++;
}

uint64_t spool_count(const struct spool *spool)
{
	uint64_t count = spool->pending_count;

	for (unsigned i = 0; i < spool->segment_count; i++)
		count += spool->segments[i].count;
	return count;
}

/* Out */

/* The first file that has something; files that have arrived whole go. */
static bool find_first(struct spool *spool)
{
	while (spool->segment_count > 1 && spool->segments[0].count == 0)
		segment_remove_first(spool);
	if (spool->segments[0].count == 0)
		return false;
	if (spool->read_fd < 0)
		spool->read_fd = open_file(spool, spool->segments[0].number, O_RDONLY);
	return spool->read_fd >= 0;
}

/* Lines at the beginning that are no use: how many bytes were passed over. */
static void skip(struct spool *spool, size_t bytes, uint64_t *dropped)
{
	spool->offset += bytes;
	if (spool->segments[0].count > 0)
		spool->segments[0].count--;
	(*dropped)++;
	note_position(spool);
}

static bool is_object(struct str line)
{
	return line.len >= 2 && line.at[0] == '{' && line.at[line.len - 1] == '}';
}

/* Of the bytes that were read, take lines until one is no use; returns how many, *len bytes. */
static unsigned take_lines(char *out, size_t read_len, unsigned count_max, size_t *len)
{
	unsigned count = 0;
	size_t at = 0;

	while (count < count_max) {
		char *end = memchr(out + at, '\n', read_len - at);

		if (!end || !is_object((struct str){ out + at, (size_t)(end - (out + at)) }))
			break;
		at = (size_t)(end - out) + 1;
		end[0] = ',';
		count++;
	}
	*len = at;
	return count;
}

unsigned spool_peek(struct spool *spool, unsigned count_max, char *out, size_t size, size_t *len,
		    uint64_t *dropped)
{
	spool->peeked = 0;
	*len = 0;
	while (find_first(spool)) {
		ssize_t got = pread(spool->read_fd, out, size, (off_t)spool->offset);
		char *end = got > 0 ? memchr(out, '\n', (size_t)got) : NULL;
		unsigned count = end ? take_lines(out, (size_t)got, count_max, len) : 0;

		if (count > 0) {
			spool->peeked = count;
			spool->peeked_bytes = *len;
			(*len)--;               /* the comma behind the last */
			return count;
		}
		if (end) {
			skip(spool, (size_t)(end - out) + 1, dropped);
			continue;
		}
		/* Unreadable, or a line longer than all that can be sent: the file's rest goes. */
		*dropped += spool->segments[0].count;
		spool->segments[0].count = 0;
		spool->offset = spool->segments[0].size;
		note_position(spool);
	}
	*len = 0;
	return 0;
}

void spool_pop(struct spool *spool)
{
	struct segment *first = &spool->segments[0];

	if (spool->peeked == 0)
		return;
	spool->offset += spool->peeked_bytes;
	first->count -= spool->peeked < first->count ? spool->peeked : first->count;
	spool->peeked = 0;
	/* The one that is written begins anew when it has grown and nothing waits. */
	if (first->count == 0 && spool->segment_count == 1 && first->size > ROLL_BYTES &&
	    spool->pending_count == 0)
		(void)segment_add(spool, first->number + 1);
	note_position(spool);
	if (first->count == 0 && spool->segment_count > 1)
		segment_remove_first(spool);
}
