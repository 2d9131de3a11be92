/* LD_PRELOAD: one process whose name server is away, or does not answer, while NAMES_FILE says so.
 *
 * Its first byte: 0 names are found as ever, 1 the name server is known to be away, 2 it does not answer (after 10 s the
 * resolver gives up, as with two servers and glibc's defaults of 5 s). Addresses in figures need no server.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define GIVES_UP_AFTER 200 /* times 50 ms */

static volatile const char *mode;

__attribute__((constructor)) static void map_mode(void)
{
    const char *path = getenv("NAMES_FILE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = file < 0 ? MAP_FAILED : mmap(NULL, 1, PROT_READ, MAP_SHARED, file, 0);
    if (page == MAP_FAILED)
        abort(); /* names that are found would look like a passed test */
    mode = page;
    close(file);
}

int getaddrinfo(const char *restrict name, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict found)
{
    int (*libc)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        dlsym(RTLD_NEXT, "getaddrinfo");
    unsigned char address[sizeof(struct in6_addr)];
    if (name && *mode && inet_pton(AF_INET, name, address) != 1 && inet_pton(AF_INET6, name, address) != 1) {
        for (int waited = 0; *mode == 2 && waited < GIVES_UP_AFTER; waited++)
            usleep(50000);
        if (*mode)
            return EAI_AGAIN;
    }
    return libc(name, service, hints, found);
}
