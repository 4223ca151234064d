/* Error codes. Every fallible call returns 0 (or a count) on success and -MST_E... on failure. The numbers are
 * Linux's errno values, so a loop library's negative errors (UV_E...) are the same numbers. */
#ifndef MULTISTACK_ERROR_H
#define MULTISTACK_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, number, message). The name without its prefix is the `code` that Node users know. */
#define MST_ERROR_MAP(X)                                                                                               \
  X(EPERM, 1, "operation not permitted")                                                                               \
  X(ENOENT, 2, "no such file or directory")                                                                            \
  X(EINTR, 4, "interrupted")                                                                                           \
  X(EIO, 5, "input or output failed")                                                                                  \
  X(ENXIO, 6, "no such device or address")                                                                             \
  X(EBADF, 9, "the handle is closed or was never open")                                                                \
  X(EAGAIN, 11, "not possible now; wait for the event and try again")                                                  \
  X(ENOMEM, 12, "out of memory")                                                                                       \
  X(EACCES, 13, "permission denied")                                                                                   \
  X(EFAULT, 14, "address outside the shared region")                                                                   \
  X(EBUSY, 16, "in use")                                                                                               \
  X(EEXIST, 17, "exists already")                                                                                      \
  X(ENODEV, 19, "no such device")                                                                                      \
  X(EINVAL, 22, "invalid argument")                                                                                    \
  X(EMFILE, 24, "too many open handles")                                                                               \
  X(EPIPE, 32, "the sending side is shut down")                                                                        \
  X(ERANGE, 34, "out of range")                                                                                        \
  X(ENOSYS, 38, "not available on this kernel")                                                                        \
  X(EPROTO, 71, "protocol error")                                                                                      \
  X(EDESTADDRREQ, 89, "destination address required")                                                                  \
  X(EMSGSIZE, 90, "message too long")                                                                                  \
  X(ENOPROTOOPT, 92, "no such option")                                                                                 \
  X(EOPNOTSUPP, 95, "not supported")                                                                                   \
  X(EAFNOSUPPORT, 97, "address family not supported")                                                                  \
  X(EADDRINUSE, 98, "address already in use")                                                                          \
  X(EADDRNOTAVAIL, 99, "address not available")                                                                        \
  X(ENETDOWN, 100, "network is down")                                                                                  \
  X(ENETUNREACH, 101, "network is unreachable")                                                                        \
  X(ECONNABORTED, 103, "connection aborted")                                                                           \
  X(ECONNRESET, 104, "connection reset by peer")                                                                       \
  X(ENOBUFS, 105, "no buffer space")                                                                                   \
  X(EISCONN, 106, "already connected")                                                                                 \
  X(ENOTCONN, 107, "not connected")                                                                                    \
  X(ETIMEDOUT, 110, "timed out")                                                                                       \
  X(ECONNREFUSED, 111, "connection refused")                                                                           \
  X(EHOSTUNREACH, 113, "host is unreachable")                                                                          \
  X(EALREADY, 114, "already in progress")                                                                              \
  X(EINPROGRESS, 115, "in progress")                                                                                   \
  X(ECANCELED, 125, "canceled")

enum mst_error {
#define MST__X(name, number, message) MST_##name = number,
  MST_ERROR_MAP(MST__X)
#undef MST__X
};

/* "ECONNRESET" for -MST_ECONNRESET (either sign), "UNKNOWN" for a number that is no MST_E.... Static storage. */
const char *mst_err_name(int error);

/* The message for the same. Static storage. */
const char *mst_strerror(int error);

/* A failure told in full: what failed, on what, why, and what to do; one line, no newline. */
struct mst_failure {
  int code;          /* -MST_E..., or 0 */
  char message[320]; /* NUL-terminated */
};

#ifdef __cplusplus
}
#endif
#endif
