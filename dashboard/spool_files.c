/* spool_files.c - all of them, whatever the order in which the file system names them: to go on
 * without some would send later texts first, and take the others for old ones. */
#include "dashboard/spool_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIRST_ROOM = 128, FILES_MAX = 1 << 16 };

static int by_number(const void *a, const void *b)
{
	uint32_t one = *(const uint32_t *)a, two = *(const uint32_t *)b;

	return (one > two) - (one < two);
}

/* Room for one more. */
static int make_room(uint32_t **numbers, size_t count, size_t *room)
{
	size_t wanted = *room ? 2 * *room : FIRST_ROOM;
	void *grown;

	if (count < *room)
		return 0;
	if (wanted > FILES_MAX)
		return -EMFILE;
	grown = realloc(*numbers, wanted * sizeof(**numbers));
	if (!grown)
		return -ENOMEM;
	*numbers = grown;
	*room = wanted;
	return 0;
}

static int list(DIR *dir, const char *name, uint32_t **numbers, size_t *count)
{
	size_t stem = strlen(name), room = 0;
	struct dirent *entry;
	int err;

	while ((entry = readdir(dir))) {
		unsigned number;
		int end = 0;

		if (strncmp(entry->d_name, name, stem) != 0 ||
		    sscanf(entry->d_name + stem, "-%8u.jsonl%n", &number, &end) != 1 || end == 0 ||
		    entry->d_name[stem + (size_t)end] != '\0')
			continue;
		err = make_room(numbers, *count, &room);
		if (err < 0)
			return err;
		(*numbers)[(*count)++] = number;
	}
	return 0;
}

int spool_files(int folder_fd, const char *name, uint32_t **numbers, size_t *count)
{
	int fd = dup(folder_fd), err;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	*numbers = NULL;
	*count = 0;
	if (!dir) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	err = list(dir, name, numbers, count);
	closedir(dir);
	if (err == 0 && *count > 0)
		qsort(*numbers, *count, sizeof(**numbers), by_number);
	if (err == 0)
		return 0;
	free(*numbers);
	*numbers = NULL;
	return err;
}
