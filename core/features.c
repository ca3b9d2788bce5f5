/* features.c - which kernel features are used. */
#include "core/features.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/bufs.h"
#include "proto/str.h"

struct features features = {
#define FEATURE(name, word, text) .name = true,
#include "core/features.def"
#undef FEATURE
	.recv_len = BUF_LEN,
};

static void set_all(bool on)
{
#define FEATURE(name, word, text) features.name = on;
#include "core/features.def"
#undef FEATURE
}

static int parse_word(struct str word)
{
	static const struct str recv = { "recv=", 5 };

	if (word.len > recv.len && memcmp(word.at, recv.at, recv.len) == 0) {
		char *end;
		unsigned long len = strtoul(word.at + recv.len, &end, 10);

		if (end != word.at + word.len || len < 1 || len > BUF_LEN)
			return -EINVAL;
		features.recv_len = (unsigned)len;
		return 0;
	}
	if (str_equal(word, STR("none"))) {
		set_all(false);
		return 0;
	}
	if (str_equal(word, STR("auto")))
		return 0;
#define FEATURE(name, text_, text)                                                                 \
	if (str_equal(word, STR("-" text_))) {                                                     \
		features.name = false;                                                             \
		return 0;                                                                          \
	}
#include "core/features.def"
#undef FEATURE
	return -EINVAL;
}

int features_parse(const char *text)
{
	set_all(true);
	features.recv_len = BUF_LEN;
	while (*text) {
		size_t len = strcspn(text, ",");
		int err = parse_word((struct str){ text, len });

		if (err < 0)
			return err;
		text += len + (text[len] == ',');
	}
	return 0;
}
