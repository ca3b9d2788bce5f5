/* curl.h - libcurl, loaded when the first thing is sent by it: a probe, an event.
 *
 * Linked in the ordinary way it comes with some thirty libraries, which take 6 ms to load: three
 * times as long as a filter needs to close its namespace after its start, and most of them are
 * never used.  Built against its header, so types and constants are checked. */
#ifndef CORE_CURL_H
#define CORE_CURL_H

#define CURL_DISABLE_TYPECHECK 1        /* those macros call by the linked names */
#include <curl/curl.h>

#define CURL_FUNCTIONS(FUNCTION) \
	FUNCTION(global_init) FUNCTION(slist_append) FUNCTION(slist_free_all) \
	FUNCTION(easy_init) FUNCTION(easy_setopt) FUNCTION(easy_perform) FUNCTION(easy_cleanup) \
	FUNCTION(easy_strerror) FUNCTION(easy_getinfo) \
	FUNCTION(multi_init) FUNCTION(multi_setopt) FUNCTION(multi_add_handle) \
	FUNCTION(multi_remove_handle) FUNCTION(multi_socket_action) FUNCTION(multi_info_read) \
	FUNCTION(multi_cleanup) FUNCTION(multi_perform) FUNCTION(multi_poll) \
	FUNCTION(url) FUNCTION(url_cleanup) FUNCTION(url_get) FUNCTION(url_set) FUNCTION(free)

struct curl {                           /* curl_easy_init() is ->easy_init(), and so on */
#define FUNCTION(name) __typeof__(&curl_##name) name;
	CURL_FUNCTIONS(FUNCTION)
#undef FUNCTION
};

/* NULL: not there; *error says which package to install.  Not from two threads at once. */
const struct curl *curl_load(const char **error);

#endif
