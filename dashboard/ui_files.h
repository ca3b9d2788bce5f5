/* ui_files.h - the UI's files inside the program, a table that embed.py writes.
 *
 * meson calls `embed.py FOLDER ui_files.c DEPFILE`: every regular file below FOLDER is a row, its
 * path beginning with '/'; index.html answers "/" too.  A name with a hash in it, like
 * app-3f9c1a2b.js (a dash or dot, and at least eight of 0-9a-zA-Z_- with a digit, before the
 * extension), never changes and may be kept by browsers for ever; the others are asked for again by
 * their ETag. */
#ifndef DASHBOARD_UI_FILES_H
#define DASHBOARD_UI_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ui_file {
	const char *path;               /* "/index.html", "/assets/app-3f9c1a2b.js" */
	const char *type;               /* Content-Type */
	const char *etag;               /* with its quotes */
	bool forever;
	const uint8_t *gzip;
	size_t gzip_len, plain_len;
};

extern const struct ui_file ui_files[];         /* sorted by path */
extern const size_t ui_files_len;

#endif
