/* The event trace as a file. Lines are gathered, and written before the loop sleeps. */
#include "host_internal.h"
#include "multistack/trace.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_BYTES (256u << 10)

struct mst__trace_file {
  int fd;
  bool broken; /* an error was told; nothing more is written */
  size_t used;
  char buffer[BUFFER_BYTES];
};

static void end_line(struct mst__trace_file *file, size_t length) {
  file->used += length;
  file->buffer[file->used++] = '\n';
}

static uint64_t epoch_unix_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec - mst__os_clock_ns();
}

int mst__trace_file_open(const char *path, struct mst__trace_file **out, struct mst_failure *failure) {
  int error = 0;
  struct mst__trace_file *file = malloc(sizeof *file);
  if (!file) {
    error = -MST_ENOMEM;
  } else {
    file->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file->fd < 0) error = -errno;
  }
  if (error) {
    free(file);
    if (failure) {
      failure->code = error;
      snprintf(failure->message, sizeof failure->message, "trace %s: cannot open it for writing: %s", path,
               strerror(-error));
    }
    return error;
  }
  file->broken = false;
  file->used = 0;
  end_line(file, mst_trace_json_header("multistack", epoch_unix_ns(), file->buffer, BUFFER_BYTES));
  *out = file;
  return 0;
}

/* What cannot be written is lost, and said once. */
static void write_all(struct mst_host *host, struct mst__trace_file *file) {
  size_t at = 0;
  while (!file->broken && at < file->used) {
    ssize_t n = write(file->fd, file->buffer + at, file->used - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      char line[128];
      snprintf(line, sizeof line, "trace: cannot write: %s; it ends here", strerror(errno));
      host->log(host->log_ctx, MST_LOG_ERROR, line);
      file->broken = true;
      break;
    }
    at += (size_t)n;
  }
  file->used = 0;
}

void mst__trace_file_flush(struct mst_host *host) {
  if (host->trace && host->trace->used) write_all(host, host->trace);
}

void mst__trace_file_event(void *ctx, const struct mst_trace_event *event) {
  const struct mst__host_stack *entry = ctx;
  struct mst__trace_file *file = entry->host->trace;
  if (file->broken) return;
  if (BUFFER_BYTES - file->used < MST_TRACE_JSON_BYTES) write_all(entry->host, file);
  end_line(file, mst_trace_json(event, entry->id, file->buffer + file->used, BUFFER_BYTES - file->used));
}

void mst__trace_file_close(struct mst_host *host) {
  if (!host->trace) return;
  mst__trace_file_flush(host);
  close(host->trace->fd);
  free(host->trace);
  host->trace = NULL;
}
