/* load_cpu.c - how much CPU time the proxy, we ourselves and everybody took. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench/load.h"

static size_t read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die(path);
	ssize_t len = read(fd, text, size - 1);
	if (len < 0)
		die(path);
	close(fd);
	text[len] = '\0';
	return (size_t)len;
}

/* The kernel's number for the CPU clock of a whole process, its ended threads included, to the
 * nanosecond: what clock_getcpuclockid(3) computes. */
static uint64_t process_ns(long pid)
{
	struct timespec time;

	if (clock_gettime((clockid_t)(~(clockid_t)pid * 8 + 2), &time) < 0)
		return 0;       /* it has ended */
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

uint64_t cpu_proxy_ns(const char *spec)
{
	char text[4096];
	uint64_t sum = 0;

	if (spec == NULL)
		return 0;
	if (strncmp(spec, "nsfile:", 7) == 0) {
		read_file(spec + 7, text, sizeof(text));
		return strtoull(text, NULL, 10);
	}
	if (strncmp(spec, "stat:", 5) == 0) {
		read_file(spec + 5, text, sizeof(text));
		const char *usage = strstr(text, "usage_usec ");
		if (usage == NULL)
			die("cpu.stat without usage_usec");
		return strtoull(usage + strlen("usage_usec "), NULL, 10) * 1000;
	}
	if (strncmp(spec, "pids:", 5) != 0)
		die("--cpu wants nsfile:, stat: or pids:");
	for (const char *at = spec + 5; *at != '\0';) {
		char *end;
		sum += process_ns(strtol(at, &end, 10));
		at = *end == ',' ? end + 1 : end;
		if (end == at && *end != '\0')
			die("--cpu pids: wants numbers");
	}
	return sum;
}

uint64_t cpu_own_ns(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000 +
	       (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

uint64_t cpu_machine_ns(void)
{
	char text[1024];
	unsigned long long user, nice, system, idle, wait, irq, softirq, steal;

	read_file("/proc/stat", text, sizeof(text));
	if (sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system,
		   &idle, &wait, &irq, &softirq, &steal) != 8)
		die("/proc/stat");
	return (user + nice + system + irq + softirq + steal) *
	       (1000000000ull / (uint64_t)sysconf(_SC_CLK_TCK));
}
