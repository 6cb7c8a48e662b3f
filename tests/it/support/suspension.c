/* Preloaded into a process: its wall clock and CLOCK_BOOTTIME jump ahead by five hours, and CLOCK_MONOTONIC does not, once
   the file named by SUSPENDED exists. So it looks to the process as if its machine had been suspended. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    const char *file = getenv("SUSPENDED");
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_BOOTTIME) && file && access(file, F_OK) == 0)
        now->tv_sec += 5 * 3600;
    return result;
}
