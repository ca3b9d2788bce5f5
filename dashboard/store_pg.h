/* store_pg.h - what only PostgreSQL can do: wait until another dashboard stored something. */
#ifndef DASHBOARD_STORE_PG_H
#define DASHBOARD_STORE_PG_H

#include "dashboard/store.h"

/*
 * Ask to be told; false: this server cannot tell, then looking now and then must do.
 * Wait until told, for at most timeout_ms, or until stop_fd can be read.
 */
bool store_pg_listen(struct store *store);
void store_pg_wait(struct store *store, int stop_fd, int timeout_ms);

#endif
