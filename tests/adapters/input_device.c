/* A keyboard of the kernel where there is none: to be preloaded (LD_PRELOAD) into a process that opens one.

   A file that is a socket of the type SOCK_SEQPACKET is opened as if it were under /dev/input: each packet that
   comes on it is what one read() gives, structs of linux/input.h; what is written arrives as a packet; and
   where its other end is closed, a read fails with ENODEV, as after a plug was pulled. An ioctl is a question
   on a connection of its own to FILE.ioctl: the process, the request, its argument; the answer is an errno and
   what the kernel would copy out. All else about the device is known to whoever listens there: hid_device.py. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MOST 1024
#define GRAB 0x90

static char names[MOST][sizeof(((struct sockaddr_un *)0)->sun_path)];

static int joined(const char *name, int flags)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", name);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | (flags & O_NONBLOCK ? SOCK_NONBLOCK : 0), 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        close(fd);
        errno = ENODEV;
        return -1;
    }
    return fd;
}

static int opened(const char *name, int flags, mode_t mode, const char *symbol)
{
    struct stat found;
    if (stat(name, &found) == 0 && S_ISSOCK(found.st_mode)) {
        int fd = joined(name, flags);
        if (fd >= 0 && fd < MOST)
            snprintf(names[fd], sizeof(names[fd]), "%s", name);
        return fd;
    }
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, symbol);
    return real(name, flags, mode);
}

#define OPEN(symbol)                                       \
    int symbol(const char *name, int flags, ...)           \
    {                                                      \
        va_list rest;                                      \
        va_start(rest, flags);                             \
        mode_t mode = va_arg(rest, mode_t);                \
        va_end(rest);                                      \
        return opened(name, flags, mode, #symbol);         \
    }
OPEN(open)
OPEN(open64)

static int is_device(int fd) { return fd >= 0 && fd < MOST && names[fd][0]; }

int close(int fd)
{
    static int (*real)(int);
    if (!real)
        real = dlsym(RTLD_NEXT, "close");
    if (is_device(fd))
        names[fd][0] = 0;
    return real(fd);
}

ssize_t read(int fd, void *data, size_t size)
{
    static ssize_t (*real)(int, void *, size_t);
    if (!real)
        real = dlsym(RTLD_NEXT, "read");
    ssize_t count = real(fd, data, size);
    if (is_device(fd) && (count == 0 || (count < 0 && errno != EAGAIN))) {
        errno = ENODEV;
        return -1;
    }
    return count;
}

struct question { int32_t process; uint32_t request; int32_t argument; };
struct answer { int32_t error; char data[1024]; };

static int asked(int fd, unsigned long request, void *argument)
{
    char name[sizeof(names[0]) + 8];
    snprintf(name, sizeof(name), "%s.ioctl", names[fd]);
    int to = joined(name, 0);
    if (to < 0)
        return -1;
    struct question question = { getpid(), request, 0 };
    if (_IOC_NR(request) == GRAB)
        question.argument = (intptr_t)argument;
    else if (_IOC_DIR(request) & _IOC_WRITE)
        memcpy(&question.argument, argument, sizeof(question.argument));
    struct answer answer = { ENODEV, "" };
    ssize_t count = -1;
    if (write(to, &question, sizeof(question)) == sizeof(question))
        count = recv(to, &answer, sizeof(answer), 0);
    close(to);
    if (count < (ssize_t)sizeof(answer.error) || answer.error) {
        errno = answer.error;
        return -1;
    }
    size_t got = count - sizeof(answer.error), most = _IOC_SIZE(request);
    if (_IOC_DIR(request) & _IOC_READ)
        memcpy(argument, answer.data, got < most ? got : most);
    return (int)got;
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (is_device(fd) && _IOC_TYPE(request) == 'E')
        return asked(fd, request, argument);
    static int (*real)(int, unsigned long, ...);
    if (!real)
        real = dlsym(RTLD_NEXT, "ioctl");
    return real(fd, request, argument);
}
