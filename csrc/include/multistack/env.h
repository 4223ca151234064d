/* What the core asks of its surroundings: memory, randomness, a log. It has no clock, no malloc and no I/O of its
 * own, so that a test can run it in virtual time to the same bytes each time. */
#ifndef MULTISTACK_ENV_H
#define MULTISTACK_ENV_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum mst_log_level { MST_LOG_ERROR, MST_LOG_WARN, MST_LOG_INFO, MST_LOG_DEBUG };

struct mst_env {
  void *ctx;
  /* `bytes` of memory aligned to 16, not zeroed, or NULL: then the call in progress fails with -MST_ENOMEM or a
   * packet is counted as dropped; nothing is left half done. */
  void *(*alloc)(void *ctx, size_t bytes);
  /* Give back what alloc gave; `bytes` is what was asked for. */
  void (*free)(void *ctx, void *memory, size_t bytes);
  /* Unpredictable bytes: they seed sequence numbers (RFC 6528), ports (RFC 6056) and hash tables. */
  void (*random)(void *ctx, void *out, size_t bytes);
  /* One line, without a newline. May be NULL. */
  void (*log)(void *ctx, enum mst_log_level level, const char *line);
};

#ifdef __cplusplus
}
#endif
#endif
