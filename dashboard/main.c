/* main.c - ringfence-dashboard: what it is told, where it keeps things, then the server. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "core/options.h"
#include "dashboard/server.h"
#include "dashboard/sockets.h"
#include "version.h"

static const char default_folder[] = "/app/data";
static const char default_path[] = "/app/data/dashboard.db";

static bool is_any(const char *text, const char *a, const char *b, const char *c)
{
	return strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, c) == 0;
}

static int version(void)
{
	printf("ringfence-dashboard v%s %s\nCopyright (C) 2026 ringfence authors\n"
	       "Licensed under the MIT license\n", RINGFENCE_VERSION, RINGFENCE_BUILD);
	return 0;
}

static int usage(void)
{
	printf("usage: ringfence-dashboard [--OPTION VALUE]...\n"
	       "What many ringfence instances decided, in a browser and over HTTP.\n\n"
	       "options, each also an environment variable (--log-level is LOG_LEVEL):\n");
	options_help(stdout, 'D');
	return 0;
}

/* Where the events go when nobody says: into the image's volume, when it is there. */
static void choose_store(const struct options *options, struct store_config *config)
{
	config->url = options->database_url;
	config->path = options->db_path;
	if (config->url[0] != '\0' && !options->ephemeral)
		return;
	config->url = "";
	if (options->ephemeral)
		config->path = "memory:ringfence";
	if (config->path[0] != '\0')
		return;
	config->path = default_path;
	if (access(default_folder, W_OK | X_OK) == 0)
		return;
	config->path = "memory:ringfence";
	log_warn("dashboard.ephemeral", log_str("err", strerror(errno)),
		 log_str("path", default_folder),
		 log_str("note", "events are lost at the next start: set DB_PATH, or EPHEMERAL=true"
			 " to say that this is meant"));
}

static int serve(const struct options *options)
{
	struct server server = { .listen_fd = -1, .unix_fd = -1, .epoll_fd = -1, .wake_fd = -1,
				 .signal_fd = -1 };
	char error[STORE_ERROR_MAX], listening[ADDR_TEXT_MAX];
	int err;

	choose_store(options, &server.store);
	err = server_open(&server, options, error);
	if (err < 0) {
		fprintf(stderr, "ringfence-dashboard: %s\n", error);
	} else {
		log_info("startup.ready",
			 log_str("listen", sockets_name(server.listen_fd, listening)),
			 log_str("store", server.store.url[0] ? "postgresql" : server.store.path),
			 log_str("version", RINGFENCE_VERSION));
		server_run(&server);
	}
	server_close(&server);
	if (err == 0)
		log_info("shutdown.complete");
	return err < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *name = slash ? slash + 1 : argc > 0 ? argv[0] : "ringfence-dashboard";
	bool lenient = strcmp(name, "g0efilter-dashboard") == 0;
	char error[OPTION_ERROR_MAX];
	struct options options;
	int err;

	if (argc > 1 && (is_any(argv[1], "--version", "version", "-V") || !strcmp(argv[1], "-v")))
		return version();
	if (argc > 1 && is_any(argv[1], "--help", "-h", "help") && !lenient)
		return usage();
	if (argc > 1 && strcmp(argv[1], "--help-readme") == 0) {
		options_readme(stdout, 'D');
		return 0;
	}
	/* Keys and names are in memory. */
	(void)prctl(PR_SET_DUMPABLE, 0);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	umask(0077);
	if (options_parse(&options, 'D', argc > 0 ? argc - 1 : 0, argv + 1, lenient, error) < 0) {
		fprintf(stderr, "ringfence-dashboard: %s\n", error);
		return 1;
	}
	err = log_open(options.log_level, options.log_format == LOG_FORMAT_JSON, options.no_color,
		       options.log_file, NULL);
	if (err < 0) {
		fprintf(stderr, "ringfence-dashboard: LOG_FILE: %s: %s\n", options.log_file,
			strerror(-err));
		return 1;
	}
	for (unsigned i = 0; i < options.warning_count; i++)
		log_warn("config.warning", log_str("err", options.warnings[i]));
	return serve(&options);
}
