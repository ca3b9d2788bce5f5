/* log_files.h - for tests: a log and a decision log in files, and what is in them. */
#ifndef TESTS_UNIT_LOG_FILES_H
#define TESTS_UNIT_LOG_FILES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/log.h"

/* 2026-07-05T00:25:09.123456789Z */
#define NOON UINT64_C(1783211109123456789)

static char path[64], decisions[64];
static char text[1 << 20];

static inline int make_files(void **state)
{
	(void)state;
	setenv("TZ", "UTC", 1);
	snprintf(path, sizeof(path), P_tmpdir "/test_log.XXXXXX");
	snprintf(decisions, sizeof(decisions), P_tmpdir "/test_log.XXXXXX");
	close(mkstemp(path));
	close(mkstemp(decisions));
	return 0;
}

static inline int remove_files(void **state)
{
	(void)state;
	log_close();
	unlink(path);
	unlink(decisions);
	return 0;
}

/* In text, too. */
static inline const char *content(const char *name)
{
	FILE *in = fopen(name, "r");
	size_t len = fread(text, 1, sizeof(text) - 1, in);

	fclose(in);
	text[len] = '\0';
	return text;
}

#endif
