/* LD_PRELOAD: the calls of one process on some files fail, or one of them is its last.
 *
 * DISK_FAULTS_FILE holds a `struct plan`, which may change at any time; DISK_FAULTS_PREFIX begins the names of the files
 * that are meant. The folder they lie in is meant too, where it is synced. Reads and writes through mmap are not seen:
 * SQLite makes none of them but those of its shared index.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum mode { CALM, SHARE_FAILS, NTH_FAILS, NTH_KILLS, FROM_NTH_FAILS };

struct plan {
    int32_t mode;
    int32_t error; /* errno */
    int64_t number; /* which call; for SHARE_FAILS how many of a million */
    int64_t calls; /* so far */
    int64_t failed;
    int64_t durable_only; /* what changes files that outlive the process */
};

static volatile struct plan *plan;
static const char *prefix;
static char folder[4096];
static __thread uint64_t noise;

__attribute__((constructor)) static void map_plan(void)
{
    const char *path = getenv("DISK_FAULTS_FILE");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    prefix = getenv("DISK_FAULTS_PREFIX");
    if (page == MAP_FAILED || !prefix)
        abort(); /* without faults everything would look like a passed test */
    snprintf(folder, sizeof folder, "%s", prefix);
    *strrchr(folder, '/') = 0;
    plan = page;
    close(file);
}

static uint64_t drawn(void)
{
    if (!noise)
        noise = ((uint64_t)getpid() << 32) ^ (uint64_t)(uintptr_t)&noise ^ 0x9e3779b97f4a7c15ULL;
    noise ^= noise << 13;
    noise ^= noise >> 7;
    noise ^= noise << 17;
    return noise;
}

/* The shared index is made anew by every start: what a kill leaves of it is no state of its own. */
static int is_index(const char *path)
{
    size_t length = strlen(path);
    return length > 4 && !strcmp(path + length - 4, "-shm");
}

static int is_meant(const char *path)
{
    if (plan->durable_only && is_index(path))
        return 0;
    return !strncmp(path, prefix, strlen(prefix)) || !strcmp(path, folder);
}

static int is_meant_open(int file)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return is_meant(path);
}

/* Whether this call fails; errno is set then. */
static int fails(int is_write)
{
    int64_t number;
    int does;
    if (plan->durable_only && !is_write)
        return 0;
    number = __atomic_add_fetch(&plan->calls, 1, __ATOMIC_SEQ_CST);
    switch (plan->mode) {
    case SHARE_FAILS: does = (int64_t)(drawn() % 1000000) < plan->number; break;
    case NTH_FAILS: does = number == plan->number; break;
    case FROM_NTH_FAILS: does = number >= plan->number; break;
    case NTH_KILLS:
        if (number == plan->number)
            kill(getpid(), SIGKILL);
        /* fall through */
    default: does = 0;
    }
    if (does) {
        __atomic_add_fetch(&plan->failed, 1, __ATOMIC_SEQ_CST);
        errno = plan->error;
    }
    return does;
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) \
        real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define FAILS_OPEN(file, is_write) (plan && plan->mode && is_meant_open(file) && fails(is_write))
#define FAILS_PATH(path) (plan && plan->mode && is_meant(path) && fails(1))

ssize_t read(int f, void *to, size_t n) { REAL(read); return FAILS_OPEN(f, 0) ? -1 : real(f, to, n); }
ssize_t pread(int f, void *to, size_t n, off_t at) { REAL(pread); return FAILS_OPEN(f, 0) ? -1 : real(f, to, n, at); }
ssize_t pread64(int f, void *to, size_t n, off64_t at) { REAL(pread64); return FAILS_OPEN(f, 0) ? -1 : real(f, to, n, at); }
ssize_t write(int f, const void *from, size_t n) { REAL(write); return FAILS_OPEN(f, 1) ? -1 : real(f, from, n); }
ssize_t pwrite(int f, const void *from, size_t n, off_t at) { REAL(pwrite); return FAILS_OPEN(f, 1) ? -1 : real(f, from, n, at); }
ssize_t pwrite64(int f, const void *from, size_t n, off64_t at) { REAL(pwrite64); return FAILS_OPEN(f, 1) ? -1 : real(f, from, n, at); }
int fsync(int f) { REAL(fsync); return FAILS_OPEN(f, 1) ? -1 : real(f); }
int fdatasync(int f) { REAL(fdatasync); return FAILS_OPEN(f, 1) ? -1 : real(f); }
int ftruncate(int f, off_t n) { REAL(ftruncate); return FAILS_OPEN(f, 1) ? -1 : real(f, n); }
int ftruncate64(int f, off64_t n) { REAL(ftruncate64); return FAILS_OPEN(f, 1) ? -1 : real(f, n); }
int posix_fallocate(int f, off_t at, off_t n) { REAL(posix_fallocate); return FAILS_OPEN(f, 1) ? errno : real(f, at, n); }
int posix_fallocate64(int f, off64_t at, off64_t n) { REAL(posix_fallocate64); return FAILS_OPEN(f, 1) ? errno : real(f, at, n); }
int unlink(const char *path) { REAL(unlink); return FAILS_PATH(path) ? -1 : real(path); }
int rename(const char *from, const char *to) { REAL(rename); return FAILS_PATH(from) ? -1 : real(from, to); }
