/* privilege.h - the least that each thread needs.  Follows capabilities(7), setfsuid(2).
 * glibc's set*id() calls and prctl(2) act on the whole process; these act on one thread. */
#ifndef CORE_PRIVILEGE_H
#define CORE_PRIVILEGE_H

#include <stdbool.h>
#include <stdint.h>

/* May this thread do it now? */
bool privilege_net_admin(void);
bool privilege_net_raw(void);
bool privilege_setuid(void);

/* For the whole process, before threads start: no core dumps or ptrace by others, no gain of
 * privileges through execve. */
void privilege_harden_process(void);

/* For a worker, before it makes any socket: from here on they belong to uid (0: leave it).  What
 * needs no right of a user stays, such as listening below port 1024.  0 or -errno. */
int privilege_own_sockets(uint32_t uid);

/* For a worker, once it listens: of all capabilities only the one that SO_MARK needs stays, and the
 * one for pipes where it is there.  0 or -errno. */
int privilege_drop_to_socket_work(void);

/* For the thread that ships events: it makes such sockets (egress.h), and has files of its own. */
int privilege_drop_to_shipping(void);

#endif
