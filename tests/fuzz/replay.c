/* Runs one fuzz target over the files it is given, and over those of the directories: the corpus is
 * part of the plain test run. A directory that is missing or empty is a failure, so that a corpus
 * cannot vanish unnoticed. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_BYTES 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* A block of exactly the input's size, so that a sanitizer sees the first byte read beyond it. */
static int replay_file(const char *path)
{
    struct stat st;
    FILE *f = fopen(path, "rb");
    if (!f || fstat(fileno(f), &st) < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        if (f)
            fclose(f);
        return -1;
    }
    size_t n = (size_t)st.st_size;
    uint8_t *data = malloc(n > 0 ? n : 1);
    int rc = data && fread(data, 1, n, f) == n ? 0 : -1;
    fclose(f);
    if (rc == 0)
        LLVMFuzzerTestOneInput(data, n);
    else
        fprintf(stderr, "%s: cannot be read\n", path);
    free(data);
    return rc;
}

/* The number of files replayed, or -1. */
static int replay_directory(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    int count = 0;
    for (struct dirent *e = readdir(dir); e && count >= 0; e = readdir(dir)) {
        char file[PATH_BYTES];
        if (e->d_name[0] == '.')
            continue;
        if (snprintf(file, sizeof(file), "%s/%s", path, e->d_name) >= (int)sizeof(file))
            count = -1;
        else
            count = replay_file(file) < 0 ? -1 : count + 1;
    }
    closedir(dir);
    if (count == 0)
        fprintf(stderr, "%s: no input in it\n", path);
    return count;
}

static int replay(const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
        return replay_file(path) < 0 ? -1 : 1;
    return replay_directory(path);
}

int main(int argc, char **argv)
{
    int total = 0;
    for (int i = 1; i < argc; i++) {
        int count = replay(argv[i]);
        if (count <= 0)
            return EXIT_FAILURE;
        total += count;
    }
    printf("%d inputs\n", total);
    return total > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
