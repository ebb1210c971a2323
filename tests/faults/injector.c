/*
 * Lets a chosen operation on the disk go wrong: for LD_PRELOAD.
 *
 * Operations that change what is below one folder are counted, from 1, and written to a trace. At
 * the chosen one the process is killed, before it or in the middle of it, or the operation fails
 * with an error. Nothing is synced really: what was written outlives a killed process anyhow.
 *
 * Whoever arms it forks the process that is to be struck, and reads count and trace afterwards
 * from memory that both share.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum kind { OPEN, WRITE, TRUNCATE, SYNC, RENAME, UNLINK, MKDIR, RMDIR };
static const char *const KINDS[] = {"open",   "write",  "truncate", "fsync",
                                    "rename", "unlink", "mkdir",    "rmdir"};

/* KILL before the operation; TEAR half a write, then kill; FAIL; SHORT: half a write succeeds. */
enum action { NOTHING, KILL, TEAR, FAIL, SHORT };

#define FILES 4096
#define ROOM (1 << 18)

typedef struct {
    atomic_int count;
    atomic_int used; /* of `trace` */
    char trace[ROOM];
} record;

static char watched[PATH_MAX]; /* nothing is watched while it is empty */
static size_t watched_length;
static enum action action;
static int at, times, error_number;
static unsigned kinds; /* bit k: operations of kind k may fail */
static record *shared;
static char *names[FILES]; /* of open files below `watched` */

/* ---- for the harness ---------------------------------------------------------------------- */

/* From now on the process, or what it forks, is struck at operation number `at_`, `times_` times.
 * The record belongs to the caller, who hands it to injector_free; NULL if there is no memory. */
record *injector_arm(const char *folder, int action_, int at_, int times_, int error, unsigned kinds_)
{
    record *fresh = mmap(NULL, sizeof *fresh, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                         -1, 0);
    if (fresh == MAP_FAILED)
        return NULL;
    watched_length = strlen(folder);
    memcpy(watched, folder, watched_length + 1);
    action = (enum action)action_;
    at = at_;
    times = times_;
    error_number = error;
    kinds = kinds_;
    shared = fresh;
    return fresh;
}

void injector_disarm(void)
{
    watched[0] = '\0';
    shared = NULL;
}

int injector_count(const record *self) { return self->count; }
const char *injector_trace(const record *self) { return self->trace; }
void injector_free(record *self) { munmap(self, sizeof *self); }

/* ---- which operations --------------------------------------------------------------------- */

static int is_watched(const char *path)
{
    return watched[0] && strncmp(path, watched, watched_length) == 0 &&
           (path[watched_length] == '/' || path[watched_length] == '\0');
}

/* The whole of a path, in `whole`; false if it lies elsewhere. */
static int resolve(int folder, const char *path, char whole[PATH_MAX])
{
    char start[PATH_MAX] = "";
    if (!watched[0])
        return 0;
    if (path[0] != '/') {
        if (folder == AT_FDCWD) {
            if (getcwd(start, sizeof start) == NULL)
                return 0;
        } else if (folder >= 0 && folder < FILES && names[folder]) {
            snprintf(start, sizeof start, "%s", names[folder]);
        } else {
            return 0;
        }
    }
    if (snprintf(whole, PATH_MAX, "%s%s%s", start, start[0] ? "/" : "", path) >= PATH_MAX)
        return 0;
    return is_watched(whole);
}

static void remember(int file, const char *path)
{
    if (file >= 0 && file < FILES)
        names[file] = strdup(path);
}

static const char *name_of(int file)
{
    return watched[0] && file >= 0 && file < FILES ? names[file] : NULL;
}

static void note(enum kind kind, const char *path, const char *to)
{
    char line[2 * PATH_MAX];
    const char *from = path + watched_length + (path[watched_length] == '/');
    int length = snprintf(line, sizeof line, "%s\t%s\t%s\n", KINDS[kind], from,
                          to ? to + watched_length + 1 : "");
    int begin = atomic_fetch_add(&shared->used, length);
    if (begin + length < ROOM)
        memcpy(shared->trace + begin, line, (size_t)length);
}

/* Counts an operation. Returns what is to become of it; KILL does not return. */
static enum action struck(enum kind kind, const char *path, const char *to)
{
    note(kind, path, to);
    int number = atomic_fetch_add(&shared->count, 1) + 1;
    if (action == NOTHING || number < at || number - at >= times)
        return NOTHING;
    if (action == KILL || (action == TEAR && kind != WRITE)) {
        kill(getpid(), SIGKILL);
        pause();
    }
    if (action == FAIL) {
        if (!(kinds >> kind & 1))
            return NOTHING;
        errno = error_number;
    }
    return action;
}

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, name))

/* ---- what is put in the place of the C library's ------------------------------------------ */

static int open_any(int folder, const char *path, int flags, mode_t mode)
{
    typedef int (*opener)(int, const char *, int, ...);
    static opener real;
    if (!real)
        real = REAL("openat64", opener);
    char whole[PATH_MAX];
    int here = resolve(folder, path, whole);
    if (here && flags & O_CREAT && struck(OPEN, whole, NULL) == FAIL)
        return -1;
    int file = real(folder, path, flags, mode);
    if (here)
        remember(file, whole);
    return file;
}

#define MODE                                                                                       \
    mode_t mode = 0;                                                                               \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                           \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode = va_arg(rest, mode_t);                                                               \
        va_end(rest);                                                                              \
    }

int open(const char *path, int flags, ...) { MODE return open_any(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return open_any(AT_FDCWD, path, flags, mode); }
int openat(int folder, const char *path, int flags, ...)
{
    MODE return open_any(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...)
{
    MODE return open_any(folder, path, flags, mode);
}

int close(int file)
{
    static int (*real)(int);
    if (!real)
        real = REAL("close", int (*)(int));
    if (file >= 0 && file < FILES)
        names[file] = NULL;
    return real(file);
}

static ssize_t half_or_all(enum action what, size_t size, ssize_t (*put)(void *, size_t), void *with)
{
    if (what == FAIL)
        return -1;
    if (what == TEAR) {
        put(with, size / 2);
        kill(getpid(), SIGKILL);
        pause();
    }
    return put(with, what == SHORT && size > 1 ? size / 2 : size);
}

typedef struct {
    int file;
    const void *data;
    off64_t offset;
} target;

static ssize_t put_next(void *with, size_t size)
{
    static ssize_t (*real)(int, const void *, size_t);
    if (!real)
        real = REAL("write", ssize_t(*)(int, const void *, size_t));
    const target *to = with;
    return real(to->file, to->data, size);
}

static ssize_t put_there(void *with, size_t size)
{
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real)
        real = REAL("pwrite64", ssize_t(*)(int, const void *, size_t, off64_t));
    const target *to = with;
    return real(to->file, to->data, size, to->offset);
}

ssize_t write(int file, const void *data, size_t size)
{
    const char *name = name_of(file);
    target to = {file, data, 0};
    return name ? half_or_all(struck(WRITE, name, NULL), size, put_next, &to)
                : put_next(&to, size);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t offset)
{
    const char *name = name_of(file);
    target to = {file, data, offset};
    return name ? half_or_all(struck(WRITE, name, NULL), size, put_there, &to)
                : put_there(&to, size);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t offset)
{
    return pwrite64(file, data, size, offset);
}

int ftruncate64(int file, off64_t size)
{
    static int (*real)(int, off64_t);
    if (!real)
        real = REAL("ftruncate64", int (*)(int, off64_t));
    const char *name = name_of(file);
    if (name && struck(TRUNCATE, name, NULL) == FAIL)
        return -1;
    return real(file, size);
}

int ftruncate(int file, off_t size) { return ftruncate64(file, size); }

int fsync(int file)
{
    static int (*real)(int);
    if (!real)
        real = REAL("fsync", int (*)(int));
    const char *name = name_of(file);
    if (!name)
        return real(file);
    return struck(SYNC, name, NULL) == FAIL ? -1 : 0;
}

int fdatasync(int file) { return fsync(file); }

int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    static int (*real)(int, const char *, int, const char *);
    if (!real)
        real = REAL("renameat", int (*)(int, const char *, int, const char *));
    char a[PATH_MAX], b[PATH_MAX];
    int here = resolve(from_folder, from, a) && resolve(to_folder, to, b);
    if (here && struck(RENAME, a, b) == FAIL)
        return -1;
    return real(from_folder, from, to_folder, to);
}

int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }

int unlinkat(int folder, const char *path, int flags)
{
    static int (*real)(int, const char *, int);
    if (!real)
        real = REAL("unlinkat", int (*)(int, const char *, int));
    char whole[PATH_MAX];
    enum kind kind = flags & AT_REMOVEDIR ? RMDIR : UNLINK;
    if (resolve(folder, path, whole) && struck(kind, whole, NULL) == FAIL)
        return -1;
    return real(folder, path, flags);
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int folder, const char *path, mode_t mode)
{
    static int (*real)(int, const char *, mode_t);
    if (!real)
        real = REAL("mkdirat", int (*)(int, const char *, mode_t));
    char whole[PATH_MAX];
    if (resolve(folder, path, whole) && struck(MKDIR, whole, NULL) == FAIL)
        return -1;
    return real(folder, path, mode);
}

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
