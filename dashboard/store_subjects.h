/* store_subjects.h - which subject has which id: a table in memory before the store's own.
 * Inside a transaction of the only connection that adds events. */
#ifndef DASHBOARD_STORE_SUBJECTS_H
#define DASHBOARD_STORE_SUBJECTS_H

#include "dashboard/store.h"

/* The id of the entry's subject, which is stored when it is new; it has one event more. */
int store_subject_id(struct store *store, const struct entry *entry,
		     const struct entry_parts *parts, int64_t *id);
/* Before the commit: write down how many events each got. */
int store_subjects_flush(struct store *store);
void store_subjects_free(struct store_subjects *subjects);

#endif
