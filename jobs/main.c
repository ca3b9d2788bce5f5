/* main.c - the subcommand table: which program is meant, by subcommand, by name, by environment.
 *
 * The program told in short: jobs/filter.c reads options and policy, closes the namespace
 * (netfilter/), starts workers (core/worker.c) that accept, vet, decide, dial and relay (forward/),
 * opens the real rules, and then sits on the control thread (core/control.c), which logs what the
 * workers tell and takes in new policies (jobs/reload.c). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/options.h"
#include "jobs/jobs.h"
#include "version.h"

static const struct command {
	const char *name, *alias;       /* the subcommand; a seed's name for the same program */
	char program;                   /* its letter in options.def */
	int (*run)(int argc, char **argv, bool lenient);
	const char *help;
} commands[] = {
	{ "filter", "g0efilter", 'F', job_filter,
	  "egress filter of the network namespace it runs in" },
	{ "forward", "proxy", 'W', job_forward,
	  "listen on PORT, forward to TARGET" },
	{ "dashboard", "g0efilter-dashboard", 'D', job_dashboard,
	  "what many instances decided, in a browser and over HTTP" },
	{ "healthcheck", "healthcheck", 'H', job_healthcheck,
	  "is what runs here healthy? a forward when TARGET is set, else a filter" },
};

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(name, commands[i].name) == 0 || strcmp(name, commands[i].alias) == 0)
			return &commands[i];
	return NULL;
}

static int version(const char *name)
{
	printf("%s v%s %s\nCopyright (C) 2026 ringfence authors\n"
	       "Licensed under the MIT license\n",
	       name, RINGFENCE_VERSION, RINGFENCE_BUILD);
	return 0;
}

static int usage(const struct command *only)
{
	printf("usage: ringfence [COMMAND] [--OPTION VALUE]...\n"
	       "A workload reaches exactly what its owner allows, and nothing else.\n\n"
	       "commands:\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		printf("  %-11s %s\n", commands[i].name, commands[i].help);
	printf("  version     print the version\n\n"
	       "flags of filter that are no option:\n"
	       "  --print-rules   print the nftables rules that would be installed, and exit\n"
	       "  --off           remove our rules from this namespace, and exit\n\n"
	       "Without a command: forward when TARGET is set, else filter.\n\n"
	       "options of %s, each also an environment variable (--log-level is LOG_LEVEL):\n",
	       (only ? only : &commands[0])->name);
	options_help(stdout, (only ? only : &commands[0])->program);
	return 0;
}

/* The option tables of the README. */
static int readme(void)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		printf("%s### `ringfence %s`: %s\n\n", i > 0 ? "\n" : "", commands[i].name,
		       commands[i].help);
		options_readme(stdout, commands[i].program);
	}
	return 0;
}

static bool is_any(const char *text, const char *a, const char *b, const char *c)
{
	return strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, c) == 0;
}

int main(int argc, char **argv)
{
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *name = slash ? slash + 1 : argc > 0 ? argv[0] : "ringfence";
	const struct command *command = find(name);
	bool by_name = command && strcmp(name, command->alias) == 0;
	int skip = 1;

	if (argc > 1 && (is_any(argv[1], "--version", "version", "-V") || !strcmp(argv[1], "-v")))
		return version(by_name ? name : "ringfence");
	if (!by_name && argc > 1 && argv[1][0] != '-') {
		command = find(argv[1]);
		skip = 2;
		if (!command && strcmp(argv[1], "help") != 0) {
			fprintf(stderr, "ringfence: '%s' is no command: see ringfence --help\n",
				argv[1]);
			return 1;
		}
	}
	for (int i = 1; i < argc && !by_name; i++)
		if (is_any(argv[i], "--help", "-h", "help"))
			return usage(command);
	if (argc > 1 && strcmp(argv[1], "--help-readme") == 0)
		return readme();
	if (!command) {
		const char *target = getenv("TARGET");  /* what docker-whitelist is told */

		command = find(target && target[0] ? "forward" : "filter");
	}
	return command->run(argc - skip < 0 ? 0 : argc - skip, argv + skip, by_name);
}
