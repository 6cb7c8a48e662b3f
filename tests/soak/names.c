/* Preloaded into a gateway: the name of a file in the folder NAMES resolves to 127.0.0.1, any other name that ends with
   ".test" does not resolve, and all other names resolve as ever. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    real = (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo");
    const char *ending = name ? strrchr(name, '.') : NULL;
    if (!ending || strcmp(ending, ".test") != 0) return real(name, service, hints, found);
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", getenv("NAMES"), name);
    return access(path, F_OK) == 0 ? real("127.0.0.1", service, hints, found) : EAI_NONAME;
}
