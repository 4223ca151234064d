/* The XDP program of a device: load it, attach it, tell it which tuples are held. */
#include "xdp.h"
#include "xdp_maps.h"
#include "xdp_object.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int find_map(struct bpf_object *object, const char *name) {
  return bpf_object__find_map_fd_by_name(object, name);
}

/* A kernel before 5.18 knows no program of several buffers: there it is loaded as an ordinary one. */
static int load(struct mst__xdp_program *program, bool loopback, bool frags) {
  size_t bytes = (size_t)(mst__xdp_object_end - mst__xdp_object);
  program->object = bpf_object__open_mem(mst__xdp_object, bytes, NULL);
  if (!program->object) return -errno;
  const uint8_t loopback_device = loopback; /* the program's one constant */
  struct bpf_map *rodata = bpf_object__find_map_by_name(program->object, ".rodata");
  if (!rodata || bpf_map__set_initial_value(rodata, &loopback_device, sizeof loopback_device)) return -EINVAL;
  if (!frags) bpf_program__set_flags(bpf_object__find_program_by_name(program->object, "multistack"), 0);
  int error = bpf_object__load(program->object);
  if (error) return error;
  program->frags = frags;
  program->held_ports = find_map(program->object, "held_ports");
  program->held_tuples = find_map(program->object, "held_tuples");
  program->local_addrs = find_map(program->object, "local_addrs");
  program->sockets = find_map(program->object, "sockets");
  program->unserved = find_map(program->object, "unserved");
  return 0;
}

static int program_fd(const struct mst__xdp_program *program) {
  return bpf_program__fd(bpf_object__find_program_by_name(program->object, "multistack"));
}

static int attach(struct mst__xdp_program *program, unsigned ifindex, uint32_t flags) {
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = flags);
  int link = bpf_link_create(program_fd(program), (int)ifindex, BPF_XDP, &options);
  if (link < 0) return -errno;
  program->link = link;
  return 0;
}

/* Errors that another mode would not cure. */
static bool is_final(int error) {
  return error == -EPERM || error == -EBUSY || error == -EEXIST || error == -ENODEV;
}

static int attach_in_mode(struct mst__xdp_program *program, unsigned ifindex, enum mst__xdp_mode mode, char *reason) {
  if (mode != MST__XDP_GENERIC) {
    int error = attach(program, ifindex, XDP_FLAGS_DRV_MODE);
    program->native = !error;
    if (!error || mode == MST__XDP_NATIVE || is_final(error)) return error;
    mst__port_reason(reason, "native XDP refused: %s", strerror(-error));
  } else {
    mst__port_reason(reason, "generic XDP was asked for");
  }
  return attach(program, ifindex, XDP_FLAGS_SKB_MODE);
}

/* --- adopt ------------------------------------------------------------------------------------------------------- */

enum { LEGACY_LINK, LEGACY_UNSERVED };

static uint64_t unserved_of(int map) {
  uint32_t index = 0;
  uint64_t count;
  return map >= 0 && !bpf_map_lookup_elem(map, &index, &count) ? count : 0;
}

/* Take the link of a program that has lost its owner, if it is still in this device. What mode it is in cannot be
 * changed without letting go of it. */
static bool adopt(struct mst__xdp_program *program, const struct mst__xdp_device *device, enum mst__xdp_mode mode,
                  struct mst__port_legacy *legacy, char *reason) {
  struct bpf_link_info info = {0};
  uint32_t info_bytes = sizeof info;
  LIBBPF_OPTS(bpf_xdp_query_opts, query);
  int link = legacy->fds[LEGACY_LINK];
  if (link < 0 || bpf_obj_get_info_by_fd(link, &info, &info_bytes) || info.type != BPF_LINK_TYPE_XDP ||
      info.xdp.ifindex != device->ifindex || bpf_xdp_query((int)device->ifindex, 0, &query))
    return false;
  program->link = link;
  legacy->fds[LEGACY_LINK] = -1;
  program->legacy_unserved = legacy->fds[LEGACY_UNSERVED];
  legacy->fds[LEGACY_UNSERVED] = -1;
  program->waits = true;
  program->native = query.attach_mode == XDP_ATTACHED_DRV;
  if (!program->native) mst__port_reason(reason, "generic XDP was adopted");
  if (program->native && mode == MST__XDP_GENERIC) mst__port_reason(reason, "native XDP was adopted");
  return true;
}

int mst__xdp_program_begin(struct mst__xdp_program *program) {
  if (!program->waits) return 0;
  if (bpf_link_update(program->link, program_fd(program), NULL)) return -errno;
  program->waits = false;
  program->unserved_before = unserved_of(program->legacy_unserved);
  return 0;
}

unsigned mst__xdp_program_export(const struct mst__xdp_program *program, int *fds, unsigned count) {
  const int all[] = {[LEGACY_LINK] = program->link, [LEGACY_UNSERVED] = program->unserved};
  unsigned n = 0;
  for (; n < count && n < sizeof all / sizeof *all; n++) fds[n] = all[n];
  return n;
}

uint64_t mst__xdp_program_unserved(const struct mst__xdp_program *program) {
  return program->unserved_before + unserved_of(program->unserved);
}

/* --- open -------------------------------------------------------------------------------------------------------- */

static int fail_busy(const struct mst__xdp_device *device, struct mst_failure *failure) {
  LIBBPF_OPTS(bpf_xdp_query_opts, query);
  struct bpf_prog_info info = {0};
  uint32_t info_bytes = sizeof info;
  uint32_t id = bpf_xdp_query((int)device->ifindex, 0, &query) ? 0 : query.prog_id;
  if (!id) id = query.drv_prog_id ? query.drv_prog_id : query.skb_prog_id;
  int fd = id ? bpf_prog_get_fd_by_id(id) : -1;
  if (fd >= 0) {
    bpf_obj_get_info_by_fd(fd, &info, &info_bytes);
    close(fd);
  }
  return mst__port_fail(
      failure, -MST_EBUSY,
      "xdp:%s: another XDP program is attached (id %u, \"%.16s\") and stays: end what attached it, or "
      "detach it with `ip link set %s xdp off`, or choose another device",
      device->name, id, info.name, device->name);
}

static int fail(const struct mst__xdp_device *device, int error, const char *what, struct mst_failure *failure) {
  if (error == -EBUSY || error == -EEXIST) return fail_busy(device, failure);
  if (error == -EPERM || error == -EACCES)
    return mst__port_fail(failure, -MST_EPERM,
                          "xdp:%s: not permitted to %s the XDP program: run as root, or with the capabilities "
                          "CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_PERFMON and CAP_IPC_LOCK",
                          device->name, what);
  if (error == -ENOSYS || error == -EINVAL)
    return mst__port_fail(failure, -MST_ENOSYS,
                          "xdp:%s: this kernel cannot %s the XDP program (%s): Linux 5.10 or later with "
                          "CONFIG_BPF_SYSCALL and CONFIG_XDP_SOCKETS is wanted",
                          device->name, what, strerror(-error));
  return mst__port_fail(failure, error, "xdp:%s: cannot %s the XDP program: %s", device->name, what, strerror(-error));
}

int mst__xdp_program_open(struct mst__xdp_program *program, const struct mst__xdp_device *device,
                          enum mst__xdp_mode mode, struct mst__port_legacy *legacy, char *reason,
                          struct mst_failure *failure) {
  memset(program, 0, sizeof *program);
  program->link = program->legacy_unserved = -1;
  program->tuples_of_port = calloc(2 * 65536, sizeof *program->tuples_of_port);
  if (!program->tuples_of_port) return mst__port_fail(failure, -MST_ENOMEM, "xdp:%s: out of memory", device->name);

  libbpf_print_fn_t print = libbpf_set_print(NULL); /* what goes wrong is told through `failure` */
  const char *what = "load";
  int error = load(program, device->loopback, true);
  if (error && error != -EPERM) {
    bpf_object__close(program->object);
    program->object = NULL;
    if (!load(program, device->loopback, false)) error = 0;
  }
  if (!error && !adopt(program, device, mode, legacy, reason)) {
    what = "attach";
    error = attach_in_mode(program, device->ifindex, mode, reason);
  }
  if (error) {
    error = fail(device, error, what, failure);
    mst__xdp_program_close(program);
  }
  libbpf_set_print(print);
  return error;
}

void mst__xdp_program_close(struct mst__xdp_program *program) {
  if (program->link >= 0) close(program->link);
  if (program->legacy_unserved >= 0) close(program->legacy_unserved);
  program->link = program->legacy_unserved = -1;
  if (program->object) bpf_object__close(program->object);
  program->object = NULL;
  free(program->tuples_of_port);
  program->tuples_of_port = NULL;
}

/* --- held tuples ------------------------------------------------------------------------------------------------- */

static int hold_key(struct mst__xdp_program *program, const struct mst__xdp_tuple *key) {
  uint32_t count = 0;
  bpf_map_lookup_elem(program->held_tuples, key, &count);
  count++;
  return bpf_map_update_elem(program->held_tuples, key, &count, BPF_ANY) ? -errno : 0;
}

static bool unhold_key(struct mst__xdp_program *program, const struct mst__xdp_tuple *key) {
  uint32_t count;
  if (bpf_map_lookup_elem(program->held_tuples, key, &count)) return false;
  if (--count)
    bpf_map_update_elem(program->held_tuples, key, &count, BPF_ANY);
  else
    bpf_map_delete_elem(program->held_tuples, key);
  return true;
}

static int set_port_bit(struct mst__xdp_program *program, const struct mst_tuple *tuple, bool held) {
  uint32_t word = MST__XDP_PORT_WORD(tuple->protocol == MST_UDP, tuple->port);
  uint64_t bits;
  if (bpf_map_lookup_elem(program->held_ports, &word, &bits)) return -errno;
  bits = held ? bits | MST__XDP_PORT_BIT(tuple->port) : bits & ~MST__XDP_PORT_BIT(tuple->port);
  return bpf_map_update_elem(program->held_ports, &word, &bits, BPF_ANY) ? -errno : 0;
}

/* `::` holds the IPv4 wildcard too, unless it says that it does not. Returns the number of keys. */
static unsigned keys_of(const struct mst_tuple *tuple, struct mst__xdp_tuple keys[2]) {
  static const struct mst_addr any4 = MST_ADDR_ANY4, any6 = MST_ADDR_ANY6;
  keys[0] = keys[1] = (struct mst__xdp_tuple){.port = tuple->port, .protocol = tuple->protocol};
  memcpy(keys[0].addr, tuple->addr.bytes, 16);
  memcpy(keys[1].addr, any4.bytes, 16);
  return mst_addr_equal(&tuple->addr, &any6) && !(tuple->flags & MST_BIND_V6ONLY) ? 2 : 1;
}

static uint16_t *port_count(struct mst__xdp_program *program, const struct mst_tuple *tuple) {
  return &program->tuples_of_port[(tuple->protocol == MST_UDP ? 65536 : 0) + tuple->port];
}

int mst__xdp_program_hold(struct mst__xdp_program *program, const struct mst_tuple *tuple) {
  if (tuple->protocol != MST_TCP && tuple->protocol != MST_UDP) return -MST_EINVAL;
  struct mst__xdp_tuple keys[2];
  unsigned count = keys_of(tuple, keys);
  for (unsigned i = 0; i < count; i++) {
    int error = hold_key(program, &keys[i]);
    if (!error) continue;
    if (i) unhold_key(program, &keys[0]);
    return error == -E2BIG ? -MST_ENOBUFS : error;
  }
  uint16_t *tuples = port_count(program, tuple);
  int error = (*tuples)++ ? 0 : set_port_bit(program, tuple, true);
  if (error) mst__xdp_program_unhold(program, tuple);
  return error;
}

void mst__xdp_program_unhold(struct mst__xdp_program *program, const struct mst_tuple *tuple) {
  struct mst__xdp_tuple keys[2];
  unsigned count = keys_of(tuple, keys);
  bool was_held = false;
  for (unsigned i = 0; i < count; i++) was_held = unhold_key(program, &keys[i]);
  uint16_t *tuples = port_count(program, tuple);
  if (was_held && *tuples && !--*tuples) set_port_bit(program, tuple, false);
}
