/* A soak of multistackd: servers and clients in processes of their own exchange data that is compared byte by byte,
 * while processes and the daemon itself are killed at random and started again. What may fail is known: a transfer
 * whose server was killed meanwhile. Everything else has to come through, the daemon's deaths too.
 *
 *   soak_daemon [--seconds N] [--seed N] [--port SPEC]      the last is the daemon's, once or more */
#include "daemon_echo.h"
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

enum { SERVERS = 4, CLIENTS = 4, APPS = SERVERS + CLIENTS, FIRST_PORT = 7100 };

#define STUCK_NS 30000000000ull
#define TRANSFER_BYTES_MAX (8u << 20)

/* What the processes tell each other; in memory that they share. */
static struct board {
  atomic_uint generation[SERVERS]; /* counts a server's lives: odd while it is up */
  atomic_ullong transfers[CLIENTS], bytes[CLIENTS], excused[CLIENTS];
  atomic_bool failed;
} * board;

static struct daemon_rig rig;

struct self {
  unsigned index;
  uint64_t seed;
};

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t next_random(uint64_t *state) {
  uint64_t x = *state += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

static void violation(const char *what, const char *why) {
  atomic_store(&board->failed, true);
  fprintf(stderr, "pid %d: %s: %s\n", getpid(), what, why);
  _exit(1);
}

/* --- a server: sends back what it gets --- */

/* Another life of the same server may come before the daemon has seen the end of the last. */
static int bind_soon(struct app *app, const struct mst_endpoint *local, mst_binding **binding) {
  uint64_t end_ns = now_ns() + STUCK_NS;
  int error;
  while ((error = mst_bind(app->stack, MST_TCP, local, 0, binding)) == -MST_EADDRINUSE || error == -MST_ENETDOWN) {
    if (now_ns() > end_ns) break;
    app_turn(app, 10);
  }
  return error;
}

static void serve(void *ctx, int ready_fd) {
  const struct self *self = ctx;
  struct app app;
  struct mst_endpoint local = endpoint("127.0.0.1", (uint16_t)(FIRST_PORT + self->index));
  mst_binding *binding;
  mst_listener *listener;
  app_open(&app, rig.spec);
  int error = bind_soon(&app, &local, &binding);
  if (!error) error = mst_listen(binding, 0, echo_accept, NULL, &listener);
  if (error) violation("server: listen", mst_strerror(error));
  app_ready(ready_fd);
  for (;;) app_turn(&app, RIG_LIMIT_MS);
}

/* --- a client: one transfer after the other --- */

struct transfer {
  mst_conn *conn;
  uint64_t total, sent, received;
  int error;
  bool done;
};

static void on_transfer(mst_conn *conn, unsigned events, void *user) {
  static uint8_t buffer[1 << 16];
  struct transfer *transfer = user;
  ptrdiff_t n = 0;
  (void)events;
  while (transfer->sent < transfer->total) {
    uint64_t left = transfer->total - transfer->sent;
    n = mst_write(conn, pattern_at(transfer->sent), left < PATTERN_BYTES ? left : PATTERN_BYTES);
    if (n < 0) break;
    transfer->sent += (uint64_t)n;
    if (transfer->sent == transfer->total) mst_shutdown(conn);
  }
  if (n < 0 && n != -MST_EAGAIN && n != -MST_ENOTCONN) transfer->error = (int)n;
  while ((n = mst_read(conn, buffer, sizeof buffer)) > 0) {
    if (!is_pattern(transfer->received, buffer, (size_t)n)) violation("client", "wrong bytes");
    transfer->received += (uint64_t)n;
  }
  if (n < 0 && n != -MST_EAGAIN && n != -MST_ENOTCONN) transfer->error = (int)n;
  transfer->done = n == 0 || transfer->error;
}

static int transfer_once(struct app *app, unsigned server, uint64_t bytes) {
  struct transfer transfer = {.total = bytes};
  struct mst_endpoint remote = endpoint("127.0.0.1", (uint16_t)(FIRST_PORT + server));
  uint64_t stuck_ns = now_ns() + STUCK_NS;
  int error = mst_connect(app->stack, NULL, &remote, on_transfer, &transfer, &transfer.conn);
  if (error) return error;
  on_transfer(transfer.conn, 0, &transfer);
  while (!transfer.done) {
    app_turn(app, 1000);
    if (now_ns() > stuck_ns) violation("client", "a transfer is stuck");
  }
  if (!transfer.error && transfer.received != bytes) transfer.error = -MST_EPROTO;
  mst_close(transfer.conn);
  return transfer.error;
}

static void request(void *ctx, int ready_fd) {
  const struct self *self = ctx;
  uint64_t random = self->seed;
  struct app app;
  app_open(&app, rig.spec);
  app_ready(ready_fd);
  for (;;) {
    unsigned server = (unsigned)(next_random(&random) % SERVERS), me = self->index - SERVERS;
    unsigned life = atomic_load(&board->generation[server]);
    uint64_t bytes = next_random(&random) % (1u << next_random(&random) % 24) + 1;
    int error = transfer_once(&app, server, bytes < TRANSFER_BYTES_MAX ? bytes : TRANSFER_BYTES_MAX);
    bool excuse = !(life & 1) || atomic_load(&board->generation[server]) != life || error == -MST_ENETDOWN;
    if (error && !excuse) violation("client: a transfer with a server that lives", mst_strerror(error));
    atomic_fetch_add(error ? &board->excused[me] : &board->transfers[me], 1);
    if (!error) atomic_fetch_add(&board->bytes[me], bytes);
    app_turn(&app, error ? 10 : 0);
  }
}

/* --- who lives and who dies --- */

static pid_t pids[APPS];

static void app_start(unsigned i, uint64_t seed) {
  struct self self = {.index = i, .seed = seed};
  pids[i] = app_process(i < SERVERS ? serve : request, &self);
  if (i < SERVERS) atomic_fetch_add(&board->generation[i], 1);
}

static void app_kill(unsigned i) {
  if (i < SERVERS) atomic_fetch_add(&board->generation[i], 1);
  kill(pids[i], SIGKILL);
  waitpid(pids[i], NULL, 0);
}

static void pause_ms(uint64_t ms) {
  struct timespec rest = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000 * 1000000)};
  nanosleep(&rest, NULL);
}

static uint64_t sum(atomic_ullong *counts) {
  uint64_t total = 0;
  for (unsigned i = 0; i < CLIENTS; i++) total += atomic_load(&counts[i]);
  return total;
}

/* Nobody has ended but by our hand. */
static bool all_live(void) {
  for (unsigned i = 0; i < APPS; i++)
    if (waitpid(pids[i], NULL, WNOHANG)) return false;
  return !waitpid(rig.pid, NULL, WNOHANG) && !atomic_load(&board->failed);
}

struct deaths {
  unsigned servers, clients, daemons;
};

/* One death, and a new life after it. */
static void strike(uint64_t *random, const char *const *arguments, struct deaths *deaths) {
  uint64_t dice = next_random(random) % 10;
  if (dice == 0) {
    daemon_end(&rig, SIGKILL);
    pause_ms(next_random(random) % 400);
    daemon_start(&rig, arguments);
    deaths->daemons++;
    return;
  }
  if (dice > 5) return; /* peace */
  unsigned i = (unsigned)(next_random(random) % APPS);
  app_kill(i);
  pause_ms(next_random(random) % 100);
  app_start(i, next_random(random));
  *(i < SERVERS ? &deaths->servers : &deaths->clients) += 1;
}

int main(int argc, char **argv) {
  const char *arguments[16] = {0};
  unsigned count = 0;
  uint64_t seconds = 10, seed = (uint64_t)time(NULL);
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!strcmp(argv[i], "--seconds")) seconds = strtoull(argv[i + 1], NULL, 10);
    if (!strcmp(argv[i], "--seed")) seed = strtoull(argv[i + 1], NULL, 10);
    if (!strcmp(argv[i], "--port") && count < 12) {
      arguments[count++] = "--port";
      arguments[count++] = argv[i + 1];
    }
  }
  uint64_t random = seed;
  struct deaths deaths = {0};
  board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (board == MAP_FAILED) rig_fail("mmap");
  pattern_init();
  daemon_open(&rig, arguments);
  for (unsigned i = 0; i < APPS; i++) app_start(i, next_random(&random));
  uint64_t end_ns = now_ns() + seconds * 1000000000u, progress = 0, progress_ns = now_ns();
  bool well = true;
  while (well && now_ns() < end_ns) {
    pause_ms(next_random(&random) % 500);
    well = all_live();
    if (well) strike(&random, arguments, &deaths);
    uint64_t done = sum(board->transfers);
    if (done != progress) progress_ns = now_ns();
    progress = done;
    if (now_ns() - progress_ns > STUCK_NS) {
      fprintf(stderr, "no transfer was completed for 30 s\n");
      well = false;
    }
  }
  for (unsigned i = 0; i < APPS; i++) app_kill(i);
  daemon_close(&rig);
  printf("seed %llu: %llu transfers, %llu MB, %llu excused; killed: %u servers, %u clients, %u daemons: %s\n",
         (unsigned long long)seed, (unsigned long long)sum(board->transfers),
         (unsigned long long)(sum(board->bytes) >> 20), (unsigned long long)sum(board->excused), deaths.servers,
         deaths.clients, deaths.daemons, well ? "all as it should be" : "FAILED");
  return well ? 0 : 1;
}
