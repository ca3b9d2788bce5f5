/* dashboard_world.h - an empty store in memory for each test. */
#ifndef TESTS_UNIT_DASHBOARD_WORLD_H
#define TESTS_UNIT_DASHBOARD_WORLD_H

#include <stdio.h>
#include <unistd.h>

#include <sodium.h>

#include "dashboard/store.h"

static int open_store(void **state)
{
	static unsigned number;
	struct store *store = NULL;
	char path[64], error[STORE_ERROR_MAX];

	snprintf(path, sizeof(path), "memory:test-%d-%u", getpid(), number++);
	if (sodium_init() < 0)
		return -1;
	if (store_open(&(struct store_config){ "", path }, &store, error) < 0) {
		fprintf(stderr, "%s\n", error);
		return -1;
	}
	*state = store;
	return 0;
}

static int close_store(void **state)
{
	store_close(*state);
	return 0;
}

#endif
