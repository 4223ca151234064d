/* What the examples' command lines have in common. */
#ifndef MST_EXAMPLES_EXAMPLE_H
#define MST_EXAMPLES_EXAMPLE_H

#include <multistack/attach.h>

/* "10.0.0.1:8090" or "[fd00::1]:8090". Returns 0 or -MST_EINVAL. */
int example_endpoint(const char *text, struct mst_endpoint *out);

/* Attach to the daemon at `path` (NULL: the default one) and hold (protocol, local); or say why not, and exit. */
mst_attach *example_attach(const char *path, enum mst_protocol protocol, const struct mst_endpoint *local);

/* Sleep until the attachment's descriptor is readable, its deadline is over, or `limit_ns` is. */
void example_poll(const mst_attach *attach, uint64_t limit_ns);

/* Monotonic. */
uint64_t example_now_ns(void);

#endif
