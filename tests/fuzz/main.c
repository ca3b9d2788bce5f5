/* main.c - run a fuzz target over files: a corpus as a plain test, or one crash again.
 * Arguments are files and folders, looked into to any depth. */
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { OPEN_FOLDERS_MAX = 16 };

static size_t inputs;

static int run_file(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
	size_t len = (size_t)stat->st_size;
	uint8_t *data;
	FILE *file;

	(void)ftw;
	if (type == FTW_D)
		return 0;
	file = type == FTW_F ? fopen(path, "rb") : NULL;
	/* Of the exact size, so that the address sanitizer sees a read too far. */
	data = malloc(len > 0 ? len : 1);
	if (!file || !data || fread(data, 1, len, file) != len) {
		perror(path);
		exit(1);
	}
	(void)fclose(file);
	LLVMFuzzerTestOneInput(data, len);
	free(data);
	inputs++;
	return 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (nftw(argv[i], run_file, OPEN_FOLDERS_MAX, FTW_PHYS) < 0) {
			perror(argv[i]);
			return 1;
		}
	}
	printf("%zu inputs\n", inputs);
	return inputs > 0 ? 0 : 1;
}
