/* sockets.h - where the server listens. */
#ifndef DASHBOARD_SOCKETS_H
#define DASHBOARD_SOCKETS_H

#include "core/addr.h"
#include "dashboard/store.h"

/* PORT: "8081", ":8081", "127.0.0.1:8081", "[::1]:8081"; "off": *fd is -1.
 * 0 or -errno with a sentence in error. */
int sockets_listen_tcp(const char *where, int *fd, char error[STORE_ERROR_MAX]);
/* "127.0.0.1:8081", as the kernel has it; "off" for -1. */
const char *sockets_name(int fd, char out[ADDR_TEXT_MAX]);
/* A socket in the file system, for this user and group; one that nobody listens on is replaced. */
int sockets_listen_unix(const char *path, int *fd, char error[STORE_ERROR_MAX]);

#endif
