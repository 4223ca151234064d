/* The parts of benchmark `loss`, each a process in a network namespace of its own:
 *   bench_loss emulate DEVICE...                    the link; classes on stdin, a report at SIGTERM on stdout
 *   bench_loss receive ADDRESS FIRST_PORT PORTS     reads and forgets
 *   bench_loss send os|PORT_SPEC ADDRESS            jobs on stdin, one a line, then an empty line and, to begin, a
 *                                                   byte; ends when all are done:
 *     PORT CONGESTION_CONTROL START_MS bytes|ms N COUNT
 *       COUNT flows, one after the other, each of N bytes or N milliseconds, the first after START_MS
 * Each says "ready" on stdout when it is. */
#include "net.h"

#include "emulator/config.h"
#include "emulator/emulator.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLASSES_MAX = 512, JOBS_MAX = 4096, CHUNK_BYTES = 1 << 18 };

static char chunk[CHUNK_BYTES];
static volatile int stop;

static void on_signal(int number) {
  (void)number;
  stop = 1;
}

static void ready(void) {
  puts("ready");
  fflush(stdout);
}

/* --- the link --- */

static int emulate(int count, char **devices) {
  static struct flow_class classes[CLASSES_MAX];
  const char *path = getenv("EMULATOR_TRACE");
  int class_count = flow_classes_read(stdin, classes, CLASSES_MAX);
  if (class_count < 0) return 2;
  FILE *trace = path ? fopen(path, "w") : NULL;
  const struct emulator_options options = {.devices = (const char *const *)devices,
                                           .device_count = (size_t)count,
                                           .classes = classes,
                                           .class_count = (size_t)class_count,
                                           .trace = trace};
  struct emulator *emulator = emulator_open(&options);
  if (!emulator) return 1;
  ready();
  emulator_run(emulator, &stop);
  emulator_report(emulator, stdout);
  emulator_close(emulator);
  if (trace) fclose(trace);
  return 0;
}

/* --- the receiver --- */

static void on_data(struct conn *conn, unsigned what) {
  ssize_t n = 0;
  (void)what;
  while ((n = conn_read(conn, chunk, sizeof chunk)) > 0)
    ;
  if (n != -EAGAIN) conn_close(conn);
}

static void on_accept(struct conn *conn, void *user) {
  (void)user;
  conn->on_ready = on_data;
}

static struct sockaddr_in endpoint(const char *address, unsigned port) {
  struct sockaddr_in out = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (inet_pton(AF_INET, address, &out.sin_addr) != 1) die(address, EINVAL);
  return out;
}

static int receive(const char *address, unsigned first, unsigned count) {
  struct net *net = net_os();
  for (unsigned i = 0; i < count; i++) {
    struct sockaddr_in name = endpoint(address, first + i);
    net_listen(net, &name, on_accept, NULL, NULL);
  }
  ready();
  while (!stop) net_turn(net, false);
  net_close(net);
  return 0;
}

/* --- the sender --- */

struct job {
  struct sockaddr_in to;
  char congestion_control[16];
  uint64_t start_ns, bytes, lasts_ns; /* either of the last two */
  unsigned left, running;
};

struct flow_sender {
  struct job *job;
  struct conn *conn;
  uint64_t written, end_ns; /* UINT64_MAX: when all is sent */
  struct flow_sender *next, **link;
};

static struct flow_sender *senders;
static struct net *net;

static void finish(struct flow_sender *sender, bool abort) {
  *sender->link = sender->next;
  if (sender->next) sender->next->link = sender->link;
  sender->job->running--;
  if (abort)
    conn_abort(sender->conn);
  else
    conn_close(sender->conn);
  free(sender);
}

static void write_some(struct flow_sender *sender) {
  const struct job *job = sender->job;
  while (!job->bytes || sender->written < job->bytes) {
    uint64_t rest = job->bytes ? job->bytes - sender->written : sizeof chunk;
    size_t bytes = rest < sizeof chunk ? (size_t)rest : sizeof chunk;
    ssize_t n = conn_write(sender->conn, chunk, bytes);
    if (n == -EAGAIN) return;
    if (n < 0) die("write", (int)n);
    sender->written += (uint64_t)n;
    if ((size_t)n < bytes) return;
  }
  if (sender->written == job->bytes) {
    conn_shutdown(sender->conn);
    sender->written++; /* once */
  }
}

static void on_sender(struct conn *conn, unsigned what) {
  struct flow_sender *sender = conn->user;
  if (what & READY_ERROR) {
    fputs("a connection failed\n", stderr);
    finish(sender, true);
    return;
  }
  if (what & (READY_CONNECTED | READY_WRITE)) write_some(sender);
  if (!(what & READY_READ)) return;
  char byte;
  ssize_t n = conn_read(conn, &byte, 1);
  if (n == -EAGAIN) return;
  if (n < 0) fprintf(stderr, "a connection broke: %zd\n", n);
  finish(sender, n < 0);
}

static void begin(struct job *job, uint64_t now) {
  struct flow_sender *sender = calloc(1, sizeof *sender);
  if (!sender) die("sender", ENOMEM);
  sender->job = job;
  sender->end_ns = job->lasts_ns ? now + job->lasts_ns : UINT64_MAX;
  sender->next = senders;
  sender->link = &senders;
  if (senders) senders->link = &sender->next;
  senders = sender;
  job->left--;
  job->running++;
  sender->conn = net_connect(net, &job->to, on_sender, sender);
  conn_congestion_control(sender->conn, job->congestion_control);
}

static size_t read_jobs(const char *address, struct job *jobs) {
  char line[256], unit[8];
  size_t count = 0;
  while (fgets(line, sizeof line, stdin) && line[0] != '\n') {
    unsigned port;
    unsigned long long start_ms, n;
    struct job *job = &jobs[count];
    if (count == JOBS_MAX ||
        sscanf(line, "%u %15s %llu %7s %llu %u", &port, job->congestion_control, &start_ms, unit, &n, &job->left) != 6)
      die(line, EINVAL);
    job->to = endpoint(address, port);
    job->start_ns = start_ms * 1000000;
    if (unit[0] == 'b')
      job->bytes = n;
    else
      job->lasts_ns = n * 1000000;
    count++;
  }
  return count;
}

/* What is due now; when the next is, or 0 when all is done. */
static uint64_t schedule(struct job *jobs, size_t count, uint64_t start_ns, uint64_t now) {
  uint64_t next_ns = UINT64_MAX;
  bool any = false;
  for (struct flow_sender *sender = senders, *next; sender; sender = next) {
    next = sender->next;
    if (now >= sender->end_ns)
      finish(sender, true);
    else if (sender->end_ns < next_ns)
      next_ns = sender->end_ns;
  }
  for (size_t i = 0; i < count; i++) {
    uint64_t job_ns = start_ns + jobs[i].start_ns;
    if (now >= job_ns && jobs[i].left && !jobs[i].running) begin(&jobs[i], now);
    if (now < job_ns && job_ns < next_ns) next_ns = job_ns;
    any |= jobs[i].left || jobs[i].running;
  }
  return any ? next_ns : 0;
}

static int send_jobs(const char *stack, const char *address) {
  static struct job jobs[JOBS_MAX];
  const char *const ports[] = {stack, NULL};
  size_t count = read_jobs(address, jobs);
  net = strcmp(stack, "os") ? net_user(ports) : net_os();
  ready();
  getchar();
  uint64_t start_ns = now_ns(), next_ns;
  while (!stop && (next_ns = schedule(jobs, count, start_ns, now_ns()))) {
    uint64_t soon_ns = now_ns() + 100000000;
    net_turn_until(net, next_ns < soon_ns ? next_ns : soon_ns);
  }
  for (uint64_t end_ns = now_ns() + 50000000, now; (now = now_ns()) < end_ns;) net_turn_until(net, end_ns);
  net_close(net);
  return 0;
}

int main(int argc, char **argv) {
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  if (argc > 2 && !strcmp(argv[1], "emulate")) return emulate(argc - 2, argv + 2);
  if (argc == 5 && !strcmp(argv[1], "receive"))
    return receive(argv[2], (unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]));
  if (argc == 4 && !strcmp(argv[1], "send")) return send_jobs(argv[2], argv[3]);
  fputs("usage: bench_loss emulate DEVICE... | receive ADDRESS FIRST_PORT PORTS | send os|PORT_SPEC ADDRESS\n", stderr);
  return 2;
}
