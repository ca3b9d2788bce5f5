/* gzip.h - zlib, loaded when the first server says that it takes gzip; without it bodies stay
 * plain. */
#ifndef DASHBOARD_GZIP_H
#define DASHBOARD_GZIP_H

#include <stddef.h>

/* Pack text into out; returns the length, 0 when it does not fit, would be no smaller, or there is
 * no zlib.  One thread only. */
size_t gzip_pack(const char *text, size_t len, char *out, size_t size);

#endif
