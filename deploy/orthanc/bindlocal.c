/* Keeps a server that can only listen on every interface on the loopback interface.
 *
 * Orthanc 1.10 has no setting for the address it binds: HTTP and DICOM both take 0.0.0.0. Preloaded
 * (LD_PRELOAD), this replaces bind(2) for the "any" addresses of IPv4 and IPv6 by loopback. A port that is
 * meant to be open to the network is named in BINDLOCAL_OPEN_PORT, and only that one is left alone. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

typedef int (*bind_function)(int, const struct sockaddr *, socklen_t);

static int is_open_port(in_port_t port)
{
    const char *open_port = getenv("BINDLOCAL_OPEN_PORT");
    return open_port != NULL && *open_port != '\0' && atoi(open_port) == ntohs(port);
}

int bind(int descriptor, const struct sockaddr *address, socklen_t length)
{
    bind_function next;
    *(void **)(&next) = dlsym(RTLD_NEXT, "bind");
    if (next == NULL) {
        errno = ENOSYS; /* Never fall back to an open listener. */
        return -1;
    }
    if (address != NULL && address->sa_family == AF_INET && length >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in local;
        memcpy(&local, address, sizeof local);
        if (local.sin_addr.s_addr == htonl(INADDR_ANY) && !is_open_port(local.sin_port)) {
            local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            return next(descriptor, (const struct sockaddr *)&local, sizeof local);
        }
    }
    if (address != NULL && address->sa_family == AF_INET6 && length >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 local;
        memcpy(&local, address, sizeof local);
        if (IN6_IS_ADDR_UNSPECIFIED(&local.sin6_addr) && !is_open_port(local.sin6_port)) {
            local.sin6_addr = in6addr_loopback;
            return next(descriptor, (const struct sockaddr *)&local, sizeof local);
        }
    }
    return next(descriptor, address, length);
}
