/* hosts.c - addresses that the machine's hosts file notes for a name. */
#include "core/hosts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/hostname.h"

enum { HOSTS_FILE_MAX = 1 << 20 };

/* Cut the next of what the separators part off *rest, empty ones skipped; false at the end. */
static bool next_word(struct str *rest, const char *separators, struct str *word)
{
	size_t at = 0, len = 0;

	if (rest->len == 0)                     /* of nothing at all: NULL */
		return false;
	while (at < rest->len && strchr(separators, rest->at[at]) && rest->at[at] != '\0')
		at++;
	while (at + len < rest->len && (!strchr(separators, rest->at[at + len]) ||
					rest->at[at + len] == '\0'))
		len++;
	*word = (struct str){ rest->at + at, len };
	rest->at += at + len;
	rest->len -= at + len;
	return len > 0;
}

/* Does one of the names behind an address match? */
static bool has_name(struct str names, struct str name)
{
	char normal[HOSTNAME_MAX + 1];
	struct str word;

	while (next_word(&names, " \t\r\v\f", &word)) {
		size_t len = hostname_normalise(word, normal);

		if (len > 0 && str_equal((struct str){ normal, len }, name))
			return true;
	}
	return false;
}

static bool has_addr(const union addr *addrs, unsigned count, const union addr *addr)
{
	for (unsigned i = 0; i < count; i++)
		if (addr_equal_ip(&addrs[i], addr))
			return true;
	return false;
}

unsigned hosts_parse(struct str text, struct str name, union addr *addrs, unsigned max)
{
	struct str line, word;
	unsigned count = 0;

	while (count < max && next_word(&text, "\n", &line)) {
		const char *comment = memchr(line.at, '#', line.len);
		union addr addr;

		if (comment)
			line.len = (size_t)(comment - line.at);
		if (next_word(&line, " \t\r\v\f", &word) && addr_parse(word, &addr) &&
		    !has_addr(addrs, count, &addr) && has_name(line, name))
			addrs[count++] = addr;
	}
	return count;
}

int hosts_read(const char *path, char **text, size_t *text_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = 0;
	char *bytes = malloc(HOSTS_FILE_MAX), *less;
	size_t len = 0;
	ssize_t n = -1;

	if (fd < 0 || !bytes) {
		err = fd < 0 ? -errno : -ENOMEM;
	} else {
		while (len < HOSTS_FILE_MAX &&
		       (n = read(fd, bytes + len, HOSTS_FILE_MAX - len)) > 0)
			len += (size_t)n;
		err = n < 0 ? -errno : 0;
	}
	if (fd >= 0)
		close(fd);
	if (err < 0 || len == 0) {
		free(bytes);
		bytes = NULL;
		len = 0;
	}
	less = bytes ? realloc(bytes, len) : NULL;
	*text = less ? less : bytes;
	*text_len = len;
	return err;
}

int hosts_load(const char *path, struct str name, union addr *addrs, unsigned max)
{
	char *text;
	size_t len;
	int err = hosts_read(path, &text, &len);
	unsigned count = hosts_parse((struct str){ text, len }, name, addrs, max);

	free(text);
	return err < 0 ? err : (int)count;
}
