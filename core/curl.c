/* curl.c - libcurl, loaded when the first thing is sent by it. */
#include "core/curl.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* The number has been the same since 2006; Debian's GnuTLS flavour has a name of its own. */
static const char *const names[] = { "libcurl.so.4", "libcurl-gnutls.so.4" };

static const struct {
	const char *name;
	size_t offset;
} functions[] = {
#define FUNCTION(function) { "curl_" #function, offsetof(struct curl, function) },
	CURL_FUNCTIONS(FUNCTION)
#undef FUNCTION
};

static void *open_any(void)
{
	void *library = NULL;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !library; i++)
		library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
	return library;
}

const struct curl *curl_load(const char **error)
{
	static struct curl curl;
	static char text[256];
	static bool loaded;
	void *library = loaded ? NULL : open_any();

	if (loaded)
		return &curl;
	*error = text;
	if (!library) {
		snprintf(text, sizeof(text), "libcurl is missing: install the package libcurl4 "
			 "(%.150s)", dlerror());
		return NULL;
	}
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		void *function = dlsym(library, functions[i].name);

		if (!function) {
			snprintf(text, sizeof(text), "this libcurl has no %s: 7.85 or newer is "
				 "needed", functions[i].name);
			return NULL;
		}
		memcpy((char *)&curl + functions[i].offset, &function, sizeof(function));
	}
	if (curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		*error = "libcurl cannot be started";
		return NULL;
	}
	loaded = true;
	return &curl;
}
