/* The kernel as judge: transfers to and from it over links that lose, reorder, duplicate, corrupt, mark and limit, with
 * each of its TCP features on and off, and ours too; every byte compared, no stall, and the kernel's own counters name
 * nothing that a correct peer does not cause. IPv4 and IPv6; each side connecting and sending.
 *
 * Three threads: this one turns our stacks, one emulates the links, one is the kernel's applications. Each kernel
 * setting is a namespace. Needs root; nothing outlives the process. */
#include "pattern.h"
#include "port_rig.h"

#include "emulator/config.h"
#include "emulator/emulator.h"
#include "multistack/host.h"

#include <netinet/tcp.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__)
#define BYTES 100000u
#else
#define BYTES 300000u
#endif

/* A flow of this size takes about 1.5 s on these links; a lost SYN or a lost retransmission adds a second or two. */
#define FLOW_BOUND_S 12.0
#define GAP_BOUND_NS 4000000000u
#define KERNEL_GAP_BOUND_NS 10000000000u /* what the kernel does when it backs off is its own affair */
#define TEST_BOUND_S 70.0

/* --- what is combined with what --- */

struct setting {
  const char *sysctls; /* of net.ipv4, apart by spaces */
  const char *none[3]; /* counters of the kernel that stay zero */
  const char *some[3]; /* and that do not */
};

static const struct setting settings[] = {
    {"", {0}, {"TCPSackRecovery", "TCPDSACKRecv", "TCPDSACKOldSent"}},
    {"tcp_sack=0", {"TCPSackRecovery", "TCPDSACKRecv", "TCPDSACKOldSent"}, {"TCPRenoRecovery"}},
    {"tcp_dsack=0", {"TCPDSACKOldSent", "TCPDSACKOfoSent"}, {"TCPSackRecovery"}},
    {"tcp_timestamps=0", {"PAWSEstab"}, {"TCPSackRecovery", "TCPDSACKRecv"}},
    {"tcp_window_scaling=0", {0}, {"TCPSackRecovery"}},
    {"tcp_ecn=0", {"TCPDeliveredCE"}, {"TCPSackRecovery"}},
    {"tcp_ecn=1", {0}, {"TCPSackRecovery", "TCPDeliveredCE"}},
    {"tcp_ecn=2", {0}, {"TCPSackRecovery", "TCPDeliveredCE"}},
    {"tcp_recovery=0", {0}, {"TCPSackRecovery"}},
    {"tcp_early_retrans=0", {"TCPLossProbes"}, {"TCPSackRecovery"}},
    {"tcp_frto=0", {"TCPSpuriousRTOs"}, {"TCPSackRecovery"}},
    {"tcp_mtu_probing=1", {0}, {"TCPSackRecovery"}},
    {"tcp_mtu_probing=2", {0}, {"TCPSackRecovery"}},
    {"tcp_syncookies=0", {"SyncookiesSent"}, {"TCPSackRecovery"}},
    {"tcp_syncookies=2", {"SyncookiesFailed"}, {"SyncookiesSent", "SyncookiesRecv"}},
    {"tcp_sack=0 tcp_timestamps=0 tcp_window_scaling=0", {"TCPSackRecovery"}, {"TCPRenoRecovery"}},
};
enum { SETTINGS = sizeof settings / sizeof *settings };

static const struct {
  const char *name, *path; /* the latter both ways */
} links[] = {
    {"loss", "rate=4000000 delay_us=30000 queue=40000 loss=10000"},
    {"reordering", "rate=4000000 delay_us=30000 queue=40000 reorder=30000 reorder_us=15000 duplicate=20000"},
    {"bursts", "rate=4000000 delay_us=30000 queue=40000 loss=1500 burst_us=25000"},
    {"marks", "rate=4000000 delay_us=30000 queue=40000 mark=15000"},
    {"corruption", "rate=4000000 delay_us=30000 corrupt=10000"},
};
enum { LINKS = sizeof links / sizeof *links };

static const struct {
  const char *name;
  struct mst_stack_options options;
} stacks[] = {
    {"ECN", {.size = sizeof(struct mst_stack_options), .ecn = MST_ECN_ACCURATE}},
    {"without SACK, with cookies",
     {.size = sizeof(struct mst_stack_options),
      .no_sack = true,
      .congestion_control = "newreno",
      .syn_cookies = MST_SYN_COOKIES_ALWAYS}},
};
enum { STACKS = sizeof stacks / sizeof *stacks };

enum { ROLES = 4, WE_CONNECT = 1, WE_SEND = 2 };
enum { EXCHANGES = SETTINGS * LINKS * STACKS * ROLES, FIRST_PORT = 6000, PORTS = LINKS * STACKS * ROLES };

struct exchange {
  unsigned setting, link, stack, role, port;
  bool ip6;
  struct {
    uint64_t moved; /* bytes sent or received */
    bool shut, ended, done;
    const char *wrong;
  } ours, theirs;
  mst_conn *conn;
  int fd;
  bool listening;
  double begin_s, end_s;
};

static struct exchange exchanges[EXCHANGES];

/* A client that is to receive asks for it by a byte. A handshake by SYN cookie whose last ACK is lost is made up for by
 * what the client sends, and by nothing else. */
static bool client_asks(const struct exchange *x) {
  return !(x->role & WE_CONNECT) == !!(x->role & WE_SEND);
}

static struct exchange *exchange_at(unsigned setting, unsigned port) {
  return &exchanges[setting * PORTS + (port - FIRST_PORT)];
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void plan(void) {
  double start_s = seconds() + 0.2;
  for (unsigned setting = 0; setting < SETTINGS; setting++) {
    for (unsigned i = 0; i < PORTS; i++) {
      struct exchange *x = exchange_at(setting, FIRST_PORT + i);
      x->setting = setting;
      x->port = FIRST_PORT + i;
      x->role = i % ROLES;
      x->link = i / ROLES % LINKS;
      x->stack = i / ROLES / LINKS;
      x->ip6 = (setting + x->role + x->link + x->stack) & 1;
      x->fd = -1;
      x->begin_s = start_s + setting * 0.4 + i * 0.01; /* not all at once: there may be two cores */
    }
  }
}

/* --- the hosts: number 1 is ours, the kernel under settings[i] is 2 + i --- */

static int emulator_namespace, kernel_namespace[SETTINGS];

static const char *address(unsigned host, bool ip6) {
  static _Thread_local char text[32];
  snprintf(text, sizeof text, ip6 ? "fd07::%x" : "10.7.0.%u", host);
  return text;
}

static void enter(int namespace) {
  if (setns(namespace, CLONE_NEWNET)) abort();
}

static int new_namespace(void) {
  if (unshare(CLONE_NEWNET)) abort();
  return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

static void device_up(unsigned host) {
  rig_no_offloads("here0");
  rig_run("ip link set here0 address " EMULATOR_MAC_FORMAT " up; ip addr add 10.7.0.%u/24 dev here0; "
          "ip addr add fd07::%x/64 dev here0 nodad",
          host, host, host);
}

static void know(unsigned host) {
  for (int ip6 = 0; ip6 < 2; ip6++)
    rig_run("ip neigh replace %s lladdr " EMULATOR_MAC_FORMAT " nud permanent dev here0", address(host, ip6), host);
}

static void join_emulator(int namespace, unsigned host) {
  char name[16];
  snprintf(name, sizeof name, "host%u", host);
  rig_join(emulator_namespace, name, namespace, "here0", 1);
  rig_no_offloads(name);
  rig_run("ip link set %s up", name);
  enter(namespace);
  device_up(host);
}

static void set_up(void) {
  emulator_namespace = new_namespace();
  join_emulator(rig_namespace[HERE], 1);
  for (unsigned i = 0; i < SETTINGS; i++) {
    kernel_namespace[i] = new_namespace();
    rig_run("ip link set lo up");
    join_emulator(kernel_namespace[i], 2 + i);
    know(1);
    rig_run("for s in tcp_no_metrics_save=1 %s; do echo ${s#*=} >/proc/sys/net/ipv4/${s%%=*} || exit; done",
            settings[i].sysctls);
    rig_enter(HERE);
    know(2 + i);
  }
}

/* --- the emulator --- */

static struct emulator *emulator;
static volatile int emulator_stop;

static void *emulate(void *ready) {
  static struct flow_class classes[PORTS];
  static char names[SETTINGS + 1][16];
  const char *devices[SETTINGS + 1];
  char line[1024];
  for (unsigned i = 0; i < PORTS; i++) {
    const char *path = links[i / ROLES % LINKS].path;
    snprintf(line, sizeof line, "port=%u seed=%u | %s | %s", FIRST_PORT + i, i, path, path);
    if (!flow_class_parse(line, &classes[i])) abort();
  }
  for (unsigned i = 0; i <= SETTINGS; i++) {
    snprintf(names[i], sizeof names[i], "host%u", i + 1);
    devices[i] = names[i];
  }
  const char *trace = getenv("EMULATOR_TRACE");
  const struct emulator_options options = {.devices = devices,
                                           .device_count = SETTINGS + 1,
                                           .classes = classes,
                                           .class_count = PORTS,
                                           .trace = trace ? fopen(trace, "w") : NULL};
  enter(emulator_namespace);
  emulator = emulator_open(&options);
  if (!emulator) abort();
  sem_post(ready);
  emulator_run(emulator, &emulator_stop);
  if (options.trace) fclose(options.trace);
  return NULL;
}

/* --- the kernel's applications --- */

static atomic_uint theirs_left;
static int kernel_epoll;

static void their_end(struct exchange *x, const char *wrong) {
  x->theirs.wrong = wrong;
  x->theirs.done = true;
  close(x->fd);
  x->fd = -1;
  theirs_left--;
}

static void their_watch(struct exchange *x, int operation, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = x};
  if (epoll_ctl(kernel_epoll, operation, x->fd, &event)) abort();
}

/* In the namespace of its setting. */
static void their_socket(struct exchange *x, bool server) {
  struct sockaddr_storage name;
  socklen_t bytes = rig_sockaddr(&name, address(server ? 2 + x->setting : 1, x->ip6), (uint16_t)x->port);
  int one = 1;
  x->fd = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  setsockopt(x->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  setsockopt(x->fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
  x->listening = server;
  if (server ? bind(x->fd, (void *)&name, bytes) || listen(x->fd, 16)
             : connect(x->fd, (void *)&name, bytes) && errno != EINPROGRESS)
    abort();
  their_watch(x, EPOLL_CTL_ADD, server ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

static void their_accept(struct exchange *x) {
  int fd = accept4(x->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return;
  close(x->fd);
  x->fd = fd;
  x->listening = false;
  their_watch(x, EPOLL_CTL_ADD, x->role & WE_SEND ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

static void their_send(struct exchange *x) {
  while (x->theirs.moved < BYTES) {
    ssize_t n = send(x->fd, pattern_at(x->theirs.moved), BYTES - x->theirs.moved, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) {
      their_end(x, "the kernel cannot send");
      return;
    }
    x->theirs.moved += (uint64_t)n;
  }
  x->theirs.shut = true;
  shutdown(x->fd, SHUT_WR);
  their_watch(x, EPOLL_CTL_MOD, EPOLLIN);
}

static void their_receive(struct exchange *x) {
  static uint8_t data[1 << 17];
  ssize_t n;
  while ((n = recv(x->fd, data, sizeof data, 0)) > 0) {
    if (x->role & WE_SEND && is_pattern(x->theirs.moved, data, (size_t)n))
      x->theirs.moved += (uint64_t)n;
    else if (!client_asks(x) || x->role & WE_SEND || n > 1)
      x->theirs.wrong = "the kernel got wrong bytes";
  }
  if (n < 0 && errno == EAGAIN) return;
  if (n < 0)
    their_end(x, "the kernel's connection broke");
  else
    their_end(x, x->theirs.moved == BYTES ? x->theirs.wrong : "the end came to the kernel at another place");
}

/* EPOLLOUT is for connecting clients and senders alone. */
static void their_question(struct exchange *x) {
  if (send(x->fd, "?", 1, MSG_NOSIGNAL) != 1) return;
  x->theirs.shut = true;
  their_watch(x, EPOLL_CTL_MOD, EPOLLIN);
}

static void their_turn(struct exchange *x) {
  if (x->listening) {
    their_accept(x);
    return;
  }
  if (!(x->role & WE_CONNECT) && client_asks(x) && !x->theirs.shut) their_question(x);
  if (!(x->role & WE_SEND) && !x->theirs.shut) their_send(x);
  if (!x->theirs.done) their_receive(x);
}

static void *apply(void *ready) {
  struct epoll_event events[64];
  kernel_epoll = epoll_create1(EPOLL_CLOEXEC);
  theirs_left = EXCHANGES;
  for (struct exchange *x = exchanges; x < exchanges + EXCHANGES; x++) {
    if (!(x->role & WE_CONNECT)) continue;
    enter(kernel_namespace[x->setting]);
    their_socket(x, true);
  }
  sem_post(ready);
  for (double end_s = seconds() + TEST_BOUND_S, now_s; theirs_left && (now_s = seconds()) < end_s;) {
    for (struct exchange *x = exchanges; x < exchanges + EXCHANGES; x++) {
      if (x->role & WE_CONNECT || x->fd >= 0 || x->theirs.done || now_s < x->begin_s) continue;
      enter(kernel_namespace[x->setting]);
      their_socket(x, false);
    }
    int count = epoll_wait(kernel_epoll, events, 64, 5);
    for (int i = 0; i < count; i++) their_turn(events[i].data.ptr);
  }
  close(kernel_epoll);
  return NULL;
}

/* --- ours --- */

static mst_host *host;
static mst_stack *stack[STACKS];
static mst_listener *listeners[2 * PORTS];
static unsigned ours_left;

static void our_end(struct exchange *x, const char *wrong) {
  x->ours.wrong = wrong;
  x->ours.done = true;
  x->end_s = seconds();
  mst_close(x->conn);
  x->conn = NULL;
  ours_left--;
}

static void our_send(struct exchange *x) {
  while (x->ours.moved < BYTES) {
    ptrdiff_t n = mst_write(x->conn, pattern_at(x->ours.moved), BYTES - x->ours.moved);
    if (n == -MST_EAGAIN) return;
    if (n < 0) {
      x->ours.wrong = mst_strerror((int)n);
      return;
    }
    x->ours.moved += (uint64_t)n;
  }
  if (!x->ours.shut) x->ours.shut = mst_shutdown(x->conn) == 0;
}

static void our_receive(struct exchange *x) {
  static uint8_t data[1 << 17];
  ptrdiff_t n;
  while ((n = mst_read(x->conn, data, sizeof data)) > 0) {
    if (!(x->role & WE_SEND) && is_pattern(x->ours.moved, data, (size_t)n))
      x->ours.moved += (uint64_t)n;
    else if (!client_asks(x) || !(x->role & WE_SEND) || n > 1)
      x->ours.wrong = "we got wrong bytes";
  }
  if (n == -MST_EAGAIN) return;
  if (n < 0)
    our_end(x, mst_strerror((int)n));
  else
    our_end(x, x->ours.moved == BYTES ? x->ours.wrong : "the end came to us at another place");
}

static void on_event(mst_conn *conn, unsigned events, void *user) {
  struct exchange *x = user;
  if (events & MST_EV_ERROR) {
    our_end(x, mst_strerror(mst_conn_error(conn)));
    return;
  }
  if (x->role & WE_SEND && !x->ours.shut) our_send(x);
  our_receive(x);
}

static void on_listener(mst_listener *listener, void *user) {
  mst_conn *conn;
  (void)user;
  while ((conn = mst_accept(listener))) {
    struct mst_endpoint local, remote;
    mst_conn_local(conn, &local);
    mst_conn_remote(conn, &remote);
    struct exchange *x = exchange_at(remote.addr.bytes[15] - 2u, local.port);
    x->conn = conn;
    mst_conn_set_event(conn, on_event, x);
    on_event(conn, MST_EV_CONNECTED, x);
  }
}

static void our_begin(struct exchange *x) {
  struct mst_endpoint remote = {.addr = rig_addr(address(2 + x->setting, x->ip6)), .port = (uint16_t)x->port};
  int rc = mst_connect(stack[x->stack], NULL, &remote, on_event, x, &x->conn);
  if (rc) fail_msg("mst_connect: %s", mst_strerror(rc));
  if (client_asks(x)) assert_int_equal(mst_write(x->conn, "?", 1), 1);
}

static void ours_open(void) {
  static const char *const ports[] = {"xdp:here0", NULL};
  struct mst_host_options options = {.size = sizeof options, .ports = ports};
  struct mst_failure failure = {0};
  size_t count = 0;
  if (mst_host_open(&options, &host, &failure)) fail_msg("%s", failure.message);
  for (unsigned i = 0; i < STACKS; i++) assert_int_equal(mst_host_add_stack(host, &stacks[i].options, &stack[i]), 0);
  for (unsigned i = 0; i < 2 * PORTS; i++) {
    const struct exchange *x = exchange_at(0, FIRST_PORT + i / 2);
    struct mst_endpoint local = {.addr = rig_addr(address(1, i & 1)), .port = (uint16_t)x->port};
    mst_binding *binding;
    if (x->role & WE_CONNECT) continue;
    assert_int_equal(mst_bind(stack[x->stack], MST_TCP, &local, 0, &binding), 0);
    assert_int_equal(mst_listen(binding, 128, on_listener, NULL, &listeners[count++]), 0);
    mst_unbind(binding);
  }
  ours_left = EXCHANGES;
}

static int wait_ms(void) {
  uint64_t deadline = mst_host_deadline(host), now = mst_host_now(host);
  if (deadline <= now) return 0;
  deadline = (deadline - now + 999999) / 1000000;
  return deadline < 5 ? (int)deadline : 5;
}

static void ours_run(void) {
  for (double end_s = seconds() + TEST_BOUND_S, now_s; (ours_left || theirs_left) && (now_s = seconds()) < end_s;) {
    for (struct exchange *x = exchanges; x < exchanges + EXCHANGES; x++)
      if (x->role & WE_CONNECT && !x->conn && !x->ours.done && now_s >= x->begin_s) our_begin(x);
    mst_host_flush(host);
    struct pollfd pollfd = {.fd = mst_host_wait_fd(host), .events = POLLIN};
    poll(&pollfd, 1, wait_ms());
    mst_host_process(host);
  }
}

/* --- what is asked of it --- */

static unsigned faults;

__attribute__((format(printf, 1, 2))) static void fault(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  faults++;
}

static const char *describe(const struct exchange *x) {
  static char text[256];
  snprintf(text, sizeof text, "kernel with %s, our stack with %s, %s, %s, %s connect, %s send",
           *settings[x->setting].sysctls ? settings[x->setting].sysctls : "its defaults", stacks[x->stack].name,
           links[x->link].name, x->ip6 ? "IPv6" : "IPv4", x->role & WE_CONNECT ? "we" : "they",
           x->role & WE_SEND ? "we" : "they");
  return text;
}

static void check_exchanges(void) {
  for (const struct exchange *x = exchanges; x < exchanges + EXCHANGES; x++) {
    const char *wrong = x->ours.wrong ? x->ours.wrong : x->theirs.wrong;
    if (wrong || !x->ours.done || !x->theirs.done)
      fault("%s: %s; %llu bytes at us, %llu at the kernel", describe(x), wrong ? wrong : "it stalls",
            (unsigned long long)x->ours.moved, (unsigned long long)x->theirs.moved);
    else if (x->end_s - x->begin_s > FLOW_BOUND_S)
      fault("%s: it took %.1f s", describe(x), x->end_s - x->begin_s);
  }
}

static unsigned their_setting(const struct flow *flow) {
  unsigned server = flow->key.bytes[31] ? flow->key.bytes[31] : flow->key.bytes[19];
  return (flow_client(flow) == 1 ? server : flow_client(flow)) - 2u;
}

struct seen {
  uint64_t corrupted;     /* to the kernel */
  uint64_t repeated_syns; /* each may be challenged (RFC 5961 4) */
};

static void check_flows(struct seen seen[SETTINGS]) {
  const struct flow *flow;
  for (size_t i = 0; (flow = flows_at(emulator_flows(emulator), i)); i++) {
    const struct exchange *x = exchange_at(their_setting(flow), flow->class->port);
    for (int direction = FORWARD; direction <= BACK; direction++) {
      const struct flow_side *side = &flow->side[direction];
      bool to_kernel = (flow_client(flow) == 1) == (direction == FORWARD);
      if (to_kernel) seen[x->setting].corrupted += side->corrupted;
      if (to_kernel && side->syns > 1) seen[x->setting].repeated_syns += side->syns - 1;
      if (side->longest_gap_ns > (x->role & WE_SEND ? GAP_BOUND_NS : KERNEL_GAP_BOUND_NS))
        fault("%s: nothing for %.1f s", describe(x), (double)side->longest_gap_ns / 1e9);
    }
  }
}

/* A counter of /proc/net/netstat or /proc/net/snmp in this thread's namespace, which must exist. */
static uint64_t counter(const char *file, const char *name) {
  static char names[1 << 14], values[1 << 14];
  char path[64];
  snprintf(path, sizeof path, "/proc/thread-self/net/%s", file);
  FILE *in = fopen(path, "r");
  if (!in) abort();
  while (fgets(names, sizeof names, in) && fgets(values, sizeof values, in)) {
    char *rest[2] = {names, values}, *key, *value;
    if (strncmp(names, "Tcp", 3)) continue;
    while ((key = strtok_r(NULL, " \n", &rest[0])) && (value = strtok_r(NULL, " \n", &rest[1]))) {
      if (strcmp(key, name)) continue;
      fclose(in);
      return strtoull(value, NULL, 10);
    }
  }
  fail_msg("the kernel has no counter %s", name);
  return 0;
}

/* What no correct peer causes on these links, whatever the setting. */
static const char *const never[] = {
    "TCPSACKReneging",    "TCPAbortOnData", "TCPAbortFailed",   "TCPAbortOnTimeout", "TCPRcvQDrop",
    "TCPZeroWindowDrop",  "OfoPruned",      "RcvPruned",        "TCPOFODrop",        "TCPBacklogDrop",
    "OutOfWindowIcmps",   "TSEcrRejected",  "TCPReqQFullDrop",  "ListenDrops",       "TCPMD5Unexpected",
    "TCPFastOpenPassive", "EmbryonicRsts",  "SyncookiesFailed", "BeyondWindow",
};

static void check_counters(const struct seen seen[SETTINGS]) {
  for (unsigned i = 0; i < SETTINGS; i++) {
    const char *setting = settings[i].sysctls;
    enter(kernel_namespace[i]);
    for (size_t k = 0; k < sizeof never / sizeof *never; k++)
      if (counter("netstat", never[k]))
        fault("kernel with %s: %s %llu", setting, never[k], (unsigned long long)counter("netstat", never[k]));
    for (size_t k = 0; k < 3; k++) {
      if (settings[i].none[k] && counter("netstat", settings[i].none[k]))
        fault("kernel with %s: %s is not zero", setting, settings[i].none[k]);
      if (settings[i].some[k] && !counter("netstat", settings[i].some[k]))
        fault("kernel with %s: %s is zero", setting, settings[i].some[k]);
    }
    /* A copy that the link made is acknowledged by a D-SACK for which the kernel knows no retransmission. */
    if (counter("netstat", "TCPSACKDiscard") > counter("netstat", "TCPDSACKIgnoredDubious"))
      fault("kernel with %s: SACK blocks discarded", setting);
    if (counter("netstat", "TCPChallengeACK") > seen[i].repeated_syns)
      fault("kernel with %s: %llu challenge ACKs, %llu repeated SYNs", setting,
            (unsigned long long)counter("netstat", "TCPChallengeACK"), (unsigned long long)seen[i].repeated_syns);
    if (counter("snmp", "InCsumErrors") != seen[i].corrupted)
      fault("kernel with %s: %llu wrong checksums, of which %llu are the link's", setting,
            (unsigned long long)counter("snmp", "InCsumErrors"), (unsigned long long)seen[i].corrupted);
    if (counter("snmp", "InErrs") > seen[i].corrupted + seen[i].repeated_syns)
      fault("kernel with %s: %llu segments in error", setting, (unsigned long long)counter("snmp", "InErrs"));
    if (getenv("VERBOSE")) {
      print_message("== %s\n", setting);
      rig_try("nstat -as | grep -E 'Tcp'");
    }
  }
  rig_enter(HERE);
}

static void check_ours(void) {
  for (unsigned i = 0; i < STACKS; i++) {
    struct mst_stack_stats stats;
    mst_stack_get_stats(stack[i], &stats);
    static const enum mst_drop impossible[] = {MST_DROP_TCP_HEADER, MST_DROP_IP_HEADER, MST_DROP_IP_CHECKSUM,
                                               MST_DROP_NO_MEMORY, MST_DROP_TCP_OFO_FULL};
    for (size_t k = 0; k < sizeof impossible / sizeof *impossible; k++)
      if (stats.drops[impossible[k]])
        fault("our stack with %s: %s %llu", stacks[i].name, mst_drop_name(impossible[k]),
              (unsigned long long)stats.drops[impossible[k]]);
    if (stacks[i].options.ecn && !(stats.tcp_ecn_reductions && stats.ip_in_ce_pkts))
      fault("our stack with %s: no mark came to it, or it does nothing about them", stacks[i].name);
    if (stats.tcp_estab_resets) fault("our stack with %s: connections were reset", stacks[i].name);
  }
  if (!getenv("VERBOSE")) return;
  static char text[1 << 16];
  mst_host_stats_json(host, text, sizeof text);
  puts(text);
}

static void judged(void **state) {
  (void)state;
  pthread_t threads[2];
  sem_t ready;
  struct seen seen[SETTINGS] = {0};
  sem_init(&ready, 0, 0);
  set_up();
  plan();
  ours_open();
  assert_int_equal(pthread_create(&threads[0], NULL, emulate, &ready), 0);
  assert_int_equal(pthread_create(&threads[1], NULL, apply, &ready), 0);
  sem_wait(&ready);
  sem_wait(&ready);
  double begin_s = seconds();
  ours_run();
  pthread_join(threads[1], NULL);
  emulator_stop = 1;
  pthread_join(threads[0], NULL);
  print_message("%u transfers of %u bytes in %.1f s\n", EXCHANGES, BYTES, seconds() - begin_s);
  assert_int_equal(emulator_counters(emulator)->refused, 0);
  check_exchanges();
  check_flows(seen);
  check_counters(seen);
  check_ours();
  mst_host_close(host);
  emulator_close(emulator);
  assert_int_equal(faults, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(judged)};
  pattern_init();
  rig_begin();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
