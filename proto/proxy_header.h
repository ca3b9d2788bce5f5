/* proxy_header.h - who the client is, told to the server before the client's first byte: the PROXY
 * protocol, versions 1 (text) and 2 (binary), for TCP (haproxy.org, proxy-protocol.txt). */
#ifndef PROTO_PROXY_HEADER_H
#define PROTO_PROXY_HEADER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { PROXY_HEADER_MAX = 107 };        /* what version 1 may take; version 2 is shorter */

/* The header for a connection that src made to dst; both are sockaddr_in or sockaddr_in6.
 * The two may be of different families: one that is IPv4 is then told as ::ffff:1.2.3.4.
 * Returns its length; 0: there is no such version, or an address is of neither family. */
size_t proxy_header(unsigned version, const struct sockaddr *src, const struct sockaddr *dst,
		    uint8_t out[PROXY_HEADER_MAX]);

#endif
