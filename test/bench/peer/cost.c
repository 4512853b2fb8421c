/* cost COMMAND...: runs a command and prints its cost: CPU nanoseconds of the process, and its maximum resident memory in KiB. */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct rusage usage;
	int status;
	pid_t child = fork();

	(void)argc;
	if (child == 0) {
		execvp(argv[1], argv + 1);
		perror(argv[1]);
		_exit(127);
	}
	if (child < 0 || wait4(child, &status, 0, &usage) < 0) {
		perror("cost");
		return 1;
	}
	fprintf(stderr, "cpu %.0f\npeak %ld\n", (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e9 +
		(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e3, usage.ru_maxrss);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
