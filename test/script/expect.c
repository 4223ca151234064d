/* What a script says of the stack's state. */
#include "run.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* --- comparing: V, >= V, <= V, != V, A..B --- */

static void compare(struct run *run, const char *what, int64_t got, char *arguments) {
  char *word = word_need(run, &arguments, "the value");
  bool ok;
  char *dots = strstr(word, "..");
  if (dots) {
    *dots = 0;
    int64_t least = word_number(run, word), most = word_number(run, dots + 2);
    ok = got >= least && got <= most;
    *dots = '.';
  } else if (!strcmp(word, ">=")) {
    ok = got >= word_number(run, word = word_need(run, &arguments, "the value"));
  } else if (!strcmp(word, "<=")) {
    ok = got <= word_number(run, word = word_need(run, &arguments, "the value"));
  } else if (!strcmp(word, "!=")) {
    ok = got != word_number(run, word = word_need(run, &arguments, "the value"));
  } else {
    ok = got == word_number(run, word);
  }
  word_end(run, arguments);
  if (!ok) run_fail(run, "%s is %lld", what, (long long)got);
}

/* --- what a connection tells --- */

struct search {
  const struct script *s;
  struct mst_tcp_info found;
  bool is_found;
};

static void look(const struct mst_tcp_info *info, void *user) {
  struct search *search = user;
  if (info->state == MST_LISTEN || info->local.port != search->s->local_port) return;
  if (info->remote.port != search->s->peer_port) return;
  search->found = *info;
  search->is_found = true;
}

/* Of a connection that nobody holds yet, or any more, too. False: there is none. */
static bool info_of(struct run *run, struct mst_tcp_info *out) {
  struct search search = {.s = run->s};
  mst_stack_each_conn(run->s->stack, look, &search);
  *out = search.found;
  if (search.is_found) return true;
  if (!run->s->conn) return false;
  mst_conn_get_info(run->s->conn, out);
  return true;
}

static const struct {
  const char *name;
  size_t offset, bytes;
} fields[] = {
#define FIELD(field)                                                                                                   \
  { #field, offsetof(struct mst_tcp_info, field), sizeof((struct mst_tcp_info *)NULL)->field }
    FIELD(retransmits),
    FIELD(total_retrans),
    FIELD(options),
    FIELD(ecn_mode),
    FIELD(delivered_ce),
    FIELD(received_ce),
    FIELD(delivered_e0_bytes),
    FIELD(delivered_ce_bytes),
    FIELD(received_e0_bytes),
    FIELD(received_ce_bytes),
    FIELD(bytes_sent),
    FIELD(bytes_acked),
    FIELD(bytes_received),
    FIELD(segs_out),
    FIELD(segs_in),
    FIELD(ca_state),
    FIELD(probes),
    FIELD(backoff),
    FIELD(snd_wscale),
    FIELD(rcv_wscale),
    FIELD(rto_us),
    FIELD(ato_us),
    FIELD(rtt_us),
    FIELD(rttvar_us),
    FIELD(min_rtt_us),
    FIELD(snd_mss),
    FIELD(rcv_mss),
    FIELD(advmss),
    FIELD(pmtu),
    FIELD(snd_cwnd_bytes),
    FIELD(snd_ssthresh_bytes),
    FIELD(snd_wnd),
    FIELD(rcv_wnd),
    FIELD(unacked_bytes),
    FIELD(notsent_bytes),
    FIELD(unread_bytes),
    FIELD(flight_bytes),
    FIELD(pacing_rate),
    FIELD(bytes_retrans),
    FIELD(data_segs_out),
    FIELD(data_segs_in),
    FIELD(total_rto),
    FIELD(total_rto_recoveries),
    FIELD(total_rto_time_ms),
    FIELD(sacked_bytes),
    FIELD(lost_bytes),
    FIELD(retrans_bytes),
    FIELD(delivered_bytes),
    FIELD(dsack_dups),
    FIELD(reord_seen),
    FIELD(rcv_ooopack),
    FIELD(delivery_rate),
    FIELD(delivery_rate_app_limited),
    FIELD(rcv_rtt_us),
    FIELD(rcv_space_bytes),
};

bool info_field(struct run *run, const char *name, size_t length, int64_t *out) {
  struct mst_tcp_info info;
  if (!info_of(run, &info)) run_fail(run, "there is no connection");
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    if (strncmp(fields[i].name, name, length) || fields[i].name[length]) continue;
    uint64_t value = 0;
    memcpy(&value, (const char *)&info + fields[i].offset, fields[i].bytes); /* little endian */
    *out = (int64_t)value;
    return true;
  }
  return false;
}

static void expect_info(struct run *run, char *arguments) {
  const char *name = word_need(run, &arguments, "the field");
  int64_t value;
  if (!info_field(run, name, strlen(name), &value)) run_fail(run, "mst_tcp_info has no field \"%s\"", name);
  compare(run, name, value, arguments);
}

static void expect_state(struct run *run, char *arguments) {
  const char *want = word_need(run, &arguments, "the state");
  struct mst_tcp_info info;
  const char *got = info_of(run, &info) ? mst_tcp_state_name(info.state) : "CLOSED";
  word_end(run, arguments);
  if (strcmp(got, want)) run_fail(run, "the state is %s", got);
}

static void expect_recovery(struct run *run, char *arguments) {
  const char *want = word_need(run, &arguments, "the phase"), *got;
  struct mst_tcp_info info;
  if (!info_of(run, &info)) run_fail(run, "there is no connection");
  got = mst_tcp_ca_state_name(info.ca_state);
  word_end(run, arguments);
  if (strcasecmp(got, want)) run_fail(run, "loss recovery is in %s", got);
}

/* --- what the stack counts --- */

static void compare_counter(struct run *run, const char *name, size_t offset, char *arguments) {
  struct mst_stack_stats stats = script_stats(run->s);
  uint64_t value;
  memcpy(&value, (const char *)&stats + offset, sizeof value);
  compare(run, name, (int64_t)value, arguments);
}

/* By our name or by nstat's. */
static void expect_counter(struct run *run, char *arguments) {
  const char *name = word_need(run, &arguments, "the counter");
  const struct mst_stack_counter *counter;
  for (size_t i = 0; (counter = mst_stack_counter_at(i)); i++)
    if (!strcmp(counter->name, name) || (counter->nstat && !strcmp(counter->nstat, name)))
      return compare_counter(run, name, counter->offset, arguments);
  if (!strcmp(name, "conns")) return compare_counter(run, name, offsetof(struct mst_stack_stats, conns), arguments);
  if (!strcmp(name, "time_wait"))
    return compare_counter(run, name, offsetof(struct mst_stack_stats, time_wait), arguments);
  run_fail(run, "there is no counter \"%s\"", name);
}

static void expect_drop(struct run *run, char *arguments) {
  static const char *const names[] = {
#define MST__X(name, text) #name,
      MST_DROP_MAP(MST__X)
#undef MST__X
  };
  const char *name = word_need(run, &arguments, "the reason");
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!strcmp(names[i], name)) return compare(run, name, (int64_t)script_stats(run->s).drops[i], arguments);
  run_fail(run, "there is no drop reason \"%s\"", name);
}

/* --- what the application sees --- */

static const struct {
  const char *name;
  unsigned bit;
} events[] = {{"connected", MST_EV_CONNECTED},
              {"readable", MST_EV_READABLE},
              {"writable", MST_EV_WRITABLE},
              {"error", MST_EV_ERROR},
              {"drained", MST_EV_DRAINED}};

/* event NAME: it was told, and is taken; event none: none is left. */
static void expect_event(struct run *run, char *arguments) {
  const char *name = word_need(run, &arguments, "the event");
  word_end(run, arguments);
  for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
    bool told = run->s->events & events[i].bit;
    if (!strcmp(name, "none") && told) run_fail(run, "the event %s was told", events[i].name);
    if (strcmp(name, events[i].name)) continue;
    if (!told) run_fail(run, "the event %s was not told", name);
    run->s->events &= ~events[i].bit;
    return;
  }
  if (strcmp(name, "none")) run_fail(run, "there is no event \"%s\"", name);
}

static struct mst_conn *conn_of(struct run *run) {
  if (!run->s->conn) run_fail(run, "there is no connection");
  return run->s->conn;
}

static void expect_error(struct run *run, char *arguments) {
  int64_t want = word_result(run, word_need(run, &arguments, "the error")), got = mst_conn_error(conn_of(run));
  word_end(run, arguments);
  if (want != got) run_fail(run, "the connection's error is %s", error_name(got));
}

static void expect_option(struct run *run, char *arguments) {
  const char *name = word_need(run, &arguments, "the option");
  enum mst_tcp_option option;
  if (!tcp_option_of(name, &option)) run_fail(run, "a connection has no option \"%s\"", name);
  compare(run, name, mst_conn_get_option(conn_of(run), option), arguments);
}

static void expect_readable(struct run *run, char *arguments) {
  compare(run, "what can be read", (int64_t)mst_readable_bytes(conn_of(run)), arguments);
}

static void expect_writable(struct run *run, char *arguments) {
  compare(run, "what can be written", (int64_t)mst_writable_bytes(conn_of(run)), arguments);
}

static void expect_urgent(struct run *run, char *arguments) {
  compare(run, "urgent", mst_conn_urgent(conn_of(run)), arguments);
}

static void expect_urgent_bytes(struct run *run, char *arguments) {
  compare(run, "what is to be read up to the urgent pointer", (int64_t)mst_conn_urgent_bytes(conn_of(run)), arguments);
}

/* How often the listener was told since the last such line. */
static void expect_listener(struct run *run, char *arguments) {
  compare(run, "how often the listener was told", run->s->listener_calls, arguments);
  run->s->listener_calls = 0;
}

static void expect_leases(struct run *run, char *arguments) {
  compare(run, "the number of leases", (int64_t)run->s->node->lease_count, arguments);
}

/* value A OP B: of what the script itself has computed. */
static void expect_computed(struct run *run, char *arguments) {
  int64_t value = word_number(run, word_need(run, &arguments, "the value"));
  compare(run, "the value", value, arguments);
}

void expect(struct run *run, char *arguments) {
  static const struct {
    const char *name;
    void (*run)(struct run *run, char *arguments);
  } subjects[] = {
      {"info", expect_info},
      {"state", expect_state},
      {"counter", expect_counter},
      {"drop", expect_drop},
      {"event", expect_event},
      {"error", expect_error},
      {"option", expect_option},
      {"readable", expect_readable},
      {"writable", expect_writable},
      {"urgent", expect_urgent},
      {"urgent-bytes", expect_urgent_bytes},
      {"listener", expect_listener},
      {"leases", expect_leases},
      {"value", expect_computed},
      {"recovery", expect_recovery},
  };
  const char *subject = word_need(run, &arguments, "what to expect");
  for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++)
    if (!strcmp(subjects[i].name, subject)) return subjects[i].run(run, arguments);
  run_fail(run, "there is nothing called \"%s\" to expect", subject);
}
