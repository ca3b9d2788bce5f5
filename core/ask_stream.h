/* ask_stream.h - questions over connections: TCP when an answer did not fit a datagram (RFC 7766),
 * TLS where the server is configured so (RFC 7858).  One a server and worker, shared by all tries,
 * kept for a while.
 *
 *   CONNECTING --> SHAKING (TLS only) --> READY --> closing: its tries are told */
#ifndef CORE_ASK_STREAM_H
#define CORE_ASK_STREAM_H

#include "core/ask.h"

enum { STREAMS_MAX = 4 * UPSTREAMS_MAX };       /* of a worker, with those on their way out */

/* Send it as soon as there is a connection.  0, or -errno: it is on no list.  -EEXIST: draw another
 * id. */
int stream_try(struct resolver *resolver, struct try *try);
/* Wait no longer. */
void stream_forget(struct try *try);
void streams_close(struct resolver *resolver);

#endif
