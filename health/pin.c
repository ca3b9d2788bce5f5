/* pin.c - is a pinned address still one of its name's? */
#include "health/pin.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOTE_MAX = 512 };

void pin_init(struct pin *pin, const union addr *pinned)
{
	memset(pin, 0, sizeof(*pin));
	pin->pinned = *pinned;
}

static int by_address(const void *a, const void *b)
{
	return addr_compare_ip(a, b);
}

static void set_make(struct pin_set *set, sa_family_t family, const union addr *addrs,
		     unsigned count)
{
	unsigned kept = 0;

	set->count = 0;
	for (unsigned i = 0; i < count && set->count < PIN_ADDRS_MAX; i++)
		if (addrs[i].sa.sa_family == family)
			set->addrs[set->count++] = addrs[i];
	qsort(set->addrs, set->count, sizeof(set->addrs[0]), by_address);
	for (unsigned i = 0; i < set->count; i++)
		if (kept == 0 || !addr_equal_ip(&set->addrs[i], &set->addrs[kept - 1]))
			set->addrs[kept++] = set->addrs[i];
	set->count = kept;
}

static bool set_equal(const struct pin_set *a, const struct pin_set *b)
{
	if (a->count != b->count)
		return false;
	for (unsigned i = 0; i < a->count; i++)
		if (!addr_equal_ip(&a->addrs[i], &b->addrs[i]))
			return false;
	return true;
}

enum pin_verdict pin_judge(struct pin *pin, const union addr *addrs, unsigned count)
{
	pin->earlier = pin->latest;
	set_make(&pin->latest, pin->pinned.sa.sa_family, addrs, count);
	pin->asked++;
	for (unsigned i = 0; i < pin->latest.count; i++)
		if (addr_equal_ip(&pin->latest.addrs[i], &pin->pinned))
			return PIN_GOOD;
	if (pin->asked == 1)
		return PIN_ASK_AGAIN;
	if (set_equal(&pin->earlier, &pin->latest))
		return PIN_STALE;
	return pin->asked == 2 ? PIN_ASK_AGAIN : PIN_BALANCED;
}

const char *pin_set_text(const struct pin_set *set, char out[PIN_TEXT_MAX])
{
	size_t len = 0;
	char one[ADDR_TEXT_MAX];

	out[len++] = '[';
	for (unsigned i = 0; i < set->count && len + ADDR_TEXT_MAX + 8 < PIN_TEXT_MAX; i++)
		len += (size_t)snprintf(out + len, PIN_TEXT_MAX - len, "%s'%s'", i ? ", " : "",
					addr_format_ip(&set->addrs[i], one));
	out[len++] = ']';
	out[len] = '\0';
	return out;
}

/* The note */

static void note_text(char out[NOTE_MAX], const char *target, uint64_t started_ms)
{
	snprintf(out, NOTE_MAX, "%s\n%" PRIu64 "\n", target, started_ms);
}

/* In a folder that others can write: a file of ours, no link, nothing that blocks. */
static int note_open(const char *path, int flags)
{
	int fd = open(path, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	struct stat stat_;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &stat_) < 0 || !S_ISREG(stat_.st_mode) || stat_.st_uid != geteuid()) {
		close(fd);
		return -EPERM;
	}
	return fd;
}

bool pin_note_holds(const char *path, const char *target, uint64_t started_ms)
{
	char wanted[NOTE_MAX], found[NOTE_MAX];
	int fd = note_open(path, O_RDONLY);
	ssize_t len;

	if (fd < 0)
		return false;
	len = read(fd, found, sizeof(found));
	close(fd);
	note_text(wanted, target, started_ms);
	return len == (ssize_t)strlen(wanted) && memcmp(found, wanted, (size_t)len) == 0;
}

int pin_note_write(const char *path, const char *target, uint64_t started_ms)
{
	char text[NOTE_MAX];
	int fd = note_open(path, O_WRONLY | O_CREAT), err = 0;

	if (fd < 0)
		return fd;
	note_text(text, target, started_ms);
	if (ftruncate(fd, 0) < 0)
		err = -errno;
	else if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		err = errno ? -errno : -EIO;
	close(fd);
	return err;
}
