/* dial.h - from a judged name to a connected server: resolve, check the destination, connect. */
#ifndef FORWARD_DIAL_H
#define FORWARD_DIAL_H

#include "forward/conn.h"

struct answer;
struct policy;

/* conn->name was let through: find where to go and go there (security.md 3.4).
 * literal: the name is an IP literal that the policy lists. */
void dial_start(struct conn *conn, bool literal);
/* No judging: to the target of its port (port.h). */
void dial_plain(struct conn *conn);
/* Dial conn->vet->candidates one after another. */
void dial_first(struct conn *conn);
/* The address being dialled did not answer in time: the next one. */
void dial_timeout(struct conn *conn);

/* Another allowed name on a connected HTTP connection: does it have the connected address?
 * Calls vet_http_same_address() now, from within vet_client(), or later, and pumps then. */
void dial_check_same(struct conn *conn);
void vet_http_same_address(struct conn *conn, bool same);

/* May the address that this connection goes to still be dialled under the policy of now? */
bool dial_may_stay(const struct conn *conn);

/* Does the policy let a name lead to this address (decisions.md 9)?  has_dot: it is not a single
 * label. */
bool dial_may_reach(const union addr *addr, bool has_dot, const struct policy *policy,
		    bool private_answers);

/* Which of a name's addresses may be dialled, in which order (exposed for tests): fills out with
 * at most VET_CANDIDATES_MAX; *mismatch: the client's address is none of them. */
unsigned dial_candidates(const struct answer *answer, const union addr *wanted, bool has_dot,
			 const struct policy *policy, bool private_answers, union addr *out,
			 bool *mismatch);

#endif
