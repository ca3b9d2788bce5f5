/* steps.c - count what a running process executes outside the kernel, instruction by instruction,
 * or its system calls; all its threads together but the first, which is the control thread: that
 * one looks at the rules every second, and stepped through it would do nothing else.
 *
 *     steps instructions|syscalls PID
 *
 * Says "ready" once it counts; SIGTERM ends it, and it prints the number.  It needs no counters of
 * the processor, which virtual machines often hide, and, unlike callgrind before 3.21, it is not
 * stopped by a thread that waits in io_uring_enter(2). */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t ended;

static void on_term(int number)
{
	(void)number;
	ended = 1;
}

static void fail(const char *what)
{
	perror(what);
	exit(2);
}

/* Take hold of every thread and make it stop once, which gives loop() the first turn. */
static void seize(const char *pid)
{
	char path[64];
	struct dirent *entry;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%s/task", pid);
	tasks = opendir(path);
	if (tasks == NULL)
		fail(path);
	while ((entry = readdir(tasks)) != NULL) {
		pid_t tid = atoi(entry->d_name);

		if (tid > 0 && tid != atoi(pid) &&
		    (ptrace(PTRACE_SEIZE, tid, NULL, PTRACE_O_TRACESYSGOOD) < 0 ||
		     ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0))
			fail("ptrace");
	}
	closedir(tasks);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_term };    /* interrupts waitpid() */
	unsigned long long count = 0;
	bool instructions;

	if (argc != 3 || (strcmp(argv[1], "instructions") != 0 && strcmp(argv[1], "syscalls") != 0))
		return 2;
	instructions = strcmp(argv[1], "instructions") == 0;
	sigaction(SIGTERM, &action, NULL);
	seize(argv[2]);
	printf("ready\n");
	fflush(stdout);
	while (!ended) {
		int status, number;
		pid_t tid = waitpid(-1, &status, __WALL);

		if (tid < 0 && errno == EINTR)
			continue;
		if (tid < 0)
			break;                  /* the process has ended */
		if (!WIFSTOPPED(status))
			continue;
		number = WSTOPSIG(status);
		if (number == (instructions ? SIGTRAP : SIGTRAP | 0x80) && status >> 16 == 0) {
			count++;
			number = 0;
		} else if (status >> 16 != 0 || (number & 0x80)) {
			number = 0;             /* our own doing; a signal is passed on */
		}
		ptrace(instructions ? PTRACE_SINGLESTEP : PTRACE_SYSCALL, tid, NULL, number);
	}
	/* A system call stops at its begin and at its end.  Our end releases the threads. */
	printf("%llu\n", instructions ? count : count / 2);
	return 0;
}
