/* hostname.h - names as they come off the wire, made comparable.
 * Follows RFC 1123 2.1 and RFC 952 (LDH labels), with the underscore that real names use. */
#ifndef PROTO_HOSTNAME_H
#define PROTO_HOSTNAME_H

#include "proto/str.h"

enum { HOSTNAME_MAX = 253 };            /* RFC 1035 2.3.4, without the final dot */

/*
 * Check a host name and write it lower-cased, without one trailing dot, into out.
 *
 * Good: 1 to 253 bytes; labels of 1 to 63 letters, digits, hyphens and underscores, no hyphen at
 * either end; a single label is good; the last label is neither all digits nor 0x-hexadecimal,
 * so no IPv4 address in any legacy form (inet_aton) passes.  Returns the length (1 to 253), or 0
 * when it is not a host name; out is NUL-terminated on success and untouched otherwise.
 */
size_t hostname_normalise(struct str text, char out[HOSTNAME_MAX + 1]);

#endif
