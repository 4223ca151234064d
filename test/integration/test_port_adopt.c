/* A port whose process was killed while another process kept what it had exported: its tuples' packets are nobody's
 * until a new port adopts them, and at no moment the OS's. */
#include "port_rig.h"

#include <bpf/libbpf.h>
#include <sys/syscall.h>

#define FDS_MOST 16

struct kept {
  int fds[FDS_MOST];
  unsigned count;
};

struct exported {
  int fds[FDS_MOST];
  unsigned count;
};

static const char *hold_udp, *hold_tcp; /* addresses; port 4000 */

static void hold_all(struct mst_port *port) {
  if (!port->ops->tuple_add) return;
  rig_hold(port, MST_UDP, hold_udp, 4000);
  rig_hold(port, MST_TCP, hold_tcp, 4000);
}

static void own(const char *spec, int tell) {
  struct mst_port *port = rig_open(spec);
  struct exported exported;
  hold_all(port);
  exported.count = port->ops->export_fds(port, exported.fds, FDS_MOST);
  if (write(tell, &exported, sizeof exported) == sizeof exported) pause();
  _exit(1);
}

/* A process opens the port; what it exports is kept here; it is killed. */
static void open_keep_and_kill(const char *spec, struct kept *kept) {
  struct exported exported = {0};
  int pipe_fds[2];
  assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
  pid_t child = fork();
  if (!child) own(spec, pipe_fds[1]);
  close(pipe_fds[1]);
  assert_int_equal(read(pipe_fds[0], &exported, sizeof exported), sizeof exported);
  close(pipe_fds[0]);
  int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
  kept->count = exported.count;
  for (unsigned i = 0; i < exported.count; i++) {
    kept->fds[i] = (int)syscall(SYS_pidfd_getfd, pidfd, exported.fds[i], 0);
    assert_true(kept->fds[i] >= 0);
  }
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  close(pidfd);
}

static struct mst_port *adopt(const char *spec, const struct kept *kept) {
  struct mst_port *port;
  struct mst_failure failure = {0};
  if (mst_port_open_adopted(spec, kept->fds, kept->count, &port, &failure)) fail_msg("%s", failure.message);
  return port;
}

static uint32_t attached_program(const char *device) {
  LIBBPF_OPTS(bpf_xdp_query_opts, query);
  assert_int_equal(bpf_xdp_query((int)if_nametoindex(device), 0, &query), 0);
  return query.prog_id;
}

static void expect_no_program(const char *device) {
  for (int i = 0; attached_program(device) && i < 1000; i++) poll(NULL, 0, 1); /* the kernel tidies up behind a close */
  assert_int_equal(attached_program(device), 0);
}

static struct mst_port_stats stats_of(struct mst_port *port) {
  struct mst_port_stats stats;
  port->ops->get_stats(port, &stats);
  return stats;
}

static void expect_datagram(struct mst_port *port, const char *text) {
  struct mst_port_rx rx;
  struct rig_packet packet = {0};
  while (packet.protocol != MST_UDP || packet.payload_bytes != strlen(text) ||
         memcmp(packet.payload, text, strlen(text)) != 0) {
    assert_int_equal(rig_receive(port, &rx, 1), 1);
    rig_parse(&rx, &packet);
    port->ops->release(port);
  }
}

/* The OS answers whatever came before: it has not, if a later question of ours is answered and those are not. */
static void expect_silence(int where, const char *alive, int tcp, int udp) {
  int error = 0;
  socklen_t bytes = sizeof error;
  int other = rig_socket(where, SOCK_DGRAM, alive, 4001, false);
  assert_int_equal(send(other, "?", 1, 0), 1);
  assert_true(rig_ready(other, POLLIN)); /* the OS's refusal */
  close(other);
  assert_int_equal(send(udp, "lost", 4, 0), 4);
  assert_int_equal(getsockopt(tcp, SOL_SOCKET, SO_ERROR, &error, &bytes), 0);
  assert_int_equal(error, 0);
}

static void ends_and_begins_again(int where, const char *spec, const char *device) {
  struct kept kept;
  open_keep_and_kill(spec, &kept);
  assert_int_not_equal(attached_program(device), 0);
  int tcp = rig_socket(where, SOCK_STREAM, hold_tcp, 4000, false);
  int udp = rig_socket(where, SOCK_DGRAM, hold_udp, 4000, false);
  assert_int_equal(send(udp, "lost", 4, 0), 4);
  expect_silence(where, hold_udp, tcp, udp);

  struct mst_port *port = adopt(spec, &kept);
  expect_silence(where, hold_udp, tcp, udp);
  hold_all(port);
  assert_int_equal(port->ops->begin(port), 0);
  assert_true(stats_of(port).rx_dropped >= 4);
  assert_int_equal(send(udp, "found", 5, 0), 5);
  expect_datagram(port, "found");
  close(tcp);
  close(udp);
  port->ops->close(port);
  expect_no_program(device);
}

static void on_a_veth(const char *spec) {
  rig_veth(2);
  hold_tcp = hold_udp = "10.7.0.1";
  ends_and_begins_again(THERE, spec, "here0");
  hold_tcp = hold_udp = "fd07::1";
  ends_and_begins_again(THERE, spec, "here0");
  rig_no_veth();
}

static void adopted_on_a_veth_native(void **state) {
  (void)state;
  on_a_veth("xdp:here0,mode=native");
}

static void adopted_on_a_veth_generic(void **state) {
  (void)state;
  on_a_veth("xdp:here0,mode=generic");
}

static void adopted_on_lo(void **state) {
  (void)state;
  hold_tcp = hold_udp = "127.0.0.1";
  ends_and_begins_again(HERE, "xdp:lo", "lo");
}

static void the_mode_in_force_is_told(void **state) {
  struct kept kept;
  (void)state;
  rig_veth(1);
  hold_tcp = hold_udp = "10.7.0.1";
  open_keep_and_kill("xdp:here0,mode=generic", &kept);
  struct mst_port *port = adopt("xdp:here0", &kept);
  assert_string_equal(stats_of(port).mode, "generic");
  assert_non_null(strstr(stats_of(port).reason, "adopted"));
  port->ops->close(port);
  rig_no_veth();
}

/* Without pause to a held tuple, until told to stop; exits with 1 when the OS has refused any. */
static void flood(int stop) {
  int fd = rig_socket(THERE, SOCK_DGRAM, hold_udp, 4000, false);
  struct pollfd stopped = {.fd = stop, .events = POLLIN};
  while (poll(&stopped, 1, 0) == 0)
    if (send(fd, "x", 1, 0) < 0 && errno == ECONNREFUSED) _exit(1);
  _exit(0);
}

static void no_packet_slips_through_to_the_os(void **state) {
  struct kept kept;
  int stop[2], status;
  (void)state;
  rig_veth(1);
  hold_tcp = hold_udp = "10.7.0.1";
  open_keep_and_kill("xdp:here0", &kept);
  assert_int_equal(pipe2(stop, O_CLOEXEC), 0);
  pid_t child = fork();
  if (!child) flood(stop[0]);
  struct mst_port *port = adopt("xdp:here0", &kept);
  hold_all(port);
  assert_int_equal(port->ops->begin(port), 0);
  expect_datagram(port, "x");
  assert_int_equal(write(stop[1], "", 1), 1);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  close(stop[0]);
  close(stop[1]);
  port->ops->close(port);
  rig_no_veth();
}

static void another_device_of_that_name_is_opened_afresh(void **state) {
  struct kept kept;
  (void)state;
  rig_veth(1);
  hold_tcp = hold_udp = "10.7.0.1";
  open_keep_and_kill("xdp:here0", &kept);
  rig_no_veth();
  rig_veth(1);
  struct mst_port *port = adopt("xdp:here0", &kept);
  hold_all(port);
  assert_int_equal(port->ops->begin(port), 0);
  int udp = rig_socket(THERE, SOCK_DGRAM, hold_udp, 4000, false);
  assert_int_equal(send(udp, "found", 5, 0), 5);
  expect_datagram(port, "found");
  close(udp);
  port->ops->close(port);
  expect_no_program("here0");
  rig_no_veth();
}

static void kept_by_nobody_all_is_the_os_again(void **state) {
  struct kept kept;
  (void)state;
  rig_veth(1);
  hold_tcp = hold_udp = "10.7.0.1";
  open_keep_and_kill("xdp:here0", &kept);
  for (unsigned i = 0; i < kept.count; i++) close(kept.fds[i]);
  expect_no_program("here0");
  rig_kernel_tcp(THERE, "10.7.0.1", 4000);
  rig_no_veth();
}

static void a_tap_device_waits_for_its_successor(void **state) {
  static const char spec[] = "tap:mstkeep0,host=10.8.0.1/24,addr=10.8.0.2";
  struct kept kept;
  (void)state;
  open_keep_and_kill(spec, &kept);
  unsigned index = if_nametoindex("mstkeep0");
  assert_int_not_equal(index, 0);
  int udp = rig_socket(HERE, SOCK_DGRAM, "10.8.0.2", 4000, false);
  assert_int_equal(send(udp, "early", 5, 0), 5);
  struct mst_port *port = adopt(spec, &kept);
  assert_int_equal(if_nametoindex("mstkeep0"), index);
  expect_datagram(port, "early"); /* the device has a queue */
  assert_int_equal(send(udp, "found", 5, 0), 5);
  expect_datagram(port, "found");
  close(udp);
  port->ops->close(port);
  assert_int_equal(if_nametoindex("mstkeep0"), 0);
}

int main(void) {
  rig_begin();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(adopted_on_a_veth_native),
      cmocka_unit_test(adopted_on_a_veth_generic),
      cmocka_unit_test(adopted_on_lo),
      cmocka_unit_test(the_mode_in_force_is_told),
      cmocka_unit_test(no_packet_slips_through_to_the_os),
      cmocka_unit_test(another_device_of_that_name_is_opened_afresh),
      cmocka_unit_test(kept_by_nobody_all_is_the_os_again),
      cmocka_unit_test(a_tap_device_waits_for_its_successor),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
