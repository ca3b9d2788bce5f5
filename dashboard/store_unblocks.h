/* store_unblocks.h - requests to let something through, and what became of them. */
#ifndef DASHBOARD_STORE_UNBLOCKS_H
#define DASHBOARD_STORE_UNBLOCKS_H

#include "dashboard/store.h"

enum {
	UNBLOCK_ID_MAX = 17, UNBLOCK_PENDING_MAX = 1000, UNBLOCK_COMPLETED_SHOWN = 100,
	UNBLOCK_KEPT = 10000,
};

/* A new one; texts are borrowed. */
struct unblock {
	struct str type, value, target, reason, who, undoes;
	int64_t expires_ns;             /* 0: never; once: in ten minutes */
	bool once, remove;              /* remove: take it away again */
};

/*
 * Inside a transaction each.
 * add: id gets its own, or that of the same one without an end of its own that is pending;
 * -EAGAIN: too many are pending.
 * ack: by hostname, "" when it does not say; -ENOENT: none such is pending.
 * undo: a pending one is cancelled; for it, an applied and a failed one there is a pending removal
 * then, whose id it gets ("": it was a removal itself); -ENOENT: none such; -EALREADY: nothing to
 * undo.
 */
int unblock_add(struct store *store, const struct unblock *unblock, char id[UNBLOCK_ID_MAX]);

struct unblock_ack {
	struct str id, hostname, error, policy_hash;    /* error empty: applied */
};
int unblock_ack(struct store *store, const struct unblock_ack *ack);
int unblock_undo(struct store *store, struct str id, struct str who, char undo[UNBLOCK_ID_MAX]);
/* Now and then: pending ones whose time is over, or that nobody is waited for any more, end; old
 * completed ones go. */
int unblock_expire(struct store *store);

/* What is asked for: an agent sees what is for its hostname and what is for all hosts. */
struct unblock_view {
	bool all;                       /* of every host: for people */
	struct str hostname;
	bool plain_only;                /* without what g0efilter's agent would misunderstand */
};
/* JSON arrays, as generation B has them, with more in each. */
int unblock_pending(struct store *store, const struct unblock_view *view, struct out *out);
int unblock_completed(struct store *store, struct out *out);

#endif
