#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MODE_NEW = 0666 };

int output_begin(struct output_file *output, const char *path)
{
    struct stat status;
    if (lstat(path, &status) == 0 && !S_ISREG(status.st_mode)) /* /dev/null would be replaced */
        return -EEXIST;
    int length = snprintf(output->temporary, sizeof output->temporary, "%s.XXXXXX", path);
    if (length < 0 || (size_t)length >= sizeof output->temporary)
        return -ENAMETOOLONG;
    int fd = mkostemp(output->temporary, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    mode_t mask = umask(0);
    (void)umask(mask);
    output->path = path;
    output->stream = fchmod(fd, MODE_NEW & ~mask) == 0 ? fdopen(fd, "w") : NULL;
    if (output->stream != NULL)
        return 0;
    int error = errno;
    (void)close(fd);
    (void)unlink(output->temporary);
    return -error;
}

int output_end(struct output_file *output, int error)
{
    if (error == 0 && fflush(output->stream) != 0)
        error = -errno;
    if (error == 0 && fsync(fileno(output->stream)) != 0)
        error = -errno;
    if (fclose(output->stream) != 0 && error == 0)
        error = -errno;
    if (error == 0 && rename(output->temporary, output->path) != 0)
        error = -errno;
    if (error != 0)
        (void)unlink(output->temporary);
    return error;
}
