/* gzip.c - zlib, loaded when it is needed. */
#include "dashboard/gzip.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <string.h>
#include <zlib.h>

enum { GZIP_WINDOW = 15 + 16, LEVEL = 4 };      /* + 16: with gzip's head */

static struct {
	__typeof__(&deflateInit2_) init;
	__typeof__(&deflate) run;
	__typeof__(&deflateEnd) end;
} zlib;

static bool load(void)
{
	static bool tried;
	void *library;

	if (tried)
		return zlib.init && zlib.run && zlib.end;
	tried = true;
	library = dlopen("libz.so.1", RTLD_NOW | RTLD_LOCAL);
	if (library) {
		void *init = dlsym(library, "deflateInit2_"), *run = dlsym(library, "deflate");
		void *end = dlsym(library, "deflateEnd");

		memcpy(&zlib.init, &init, sizeof(init));
		memcpy(&zlib.run, &run, sizeof(run));
		memcpy(&zlib.end, &end, sizeof(end));
	}
	return zlib.init && zlib.run && zlib.end;
}

size_t gzip_pack(const char *text, size_t len, char *out, size_t size)
{
	z_stream stream = { 0 };
	size_t packed = 0;

	if (!load() || zlib.init(&stream, LEVEL, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY,
				 ZLIB_VERSION, (int)sizeof(stream)) != Z_OK)
		return 0;
	stream.next_in = (unsigned char *)(size_t)text;
	stream.avail_in = (unsigned)len;
	stream.next_out = (unsigned char *)out;
	stream.avail_out = (unsigned)(size < len ? size : len);
	if (zlib.run(&stream, Z_FINISH) == Z_STREAM_END)
		packed = stream.total_out;
	(void)zlib.end(&stream);
	return packed;
}
