/* refuse.h - saying no: RST, or (BLOCK_ACTION=explain) a last word that names the host. */
#ifndef FORWARD_REFUSE_H
#define FORWARD_REFUSE_H

#include "forward/conn.h"

/* Refuse this connection for a policy reason: one event, then the end.  detail: one more fact for
 * the log, or NULL. */
void refuse(struct conn *conn, enum close_reason reason, const char *detail);
/* Nothing more to say to the client: let it read what it was sent, then close. */
void refuse_linger(struct conn *conn, enum close_reason reason);
/* The time for that is over. */
void refuse_timeout(struct conn *conn);

#endif
