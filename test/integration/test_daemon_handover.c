/* A server is replaced while it is asked: no connection is refused, reset or lost, the new ones are the successor's and
 * the old ones stay until they end. */
#include "unit/unit.h"

#include "daemon_rig.h"

#define PORT 7600
#define REPLACEMENTS 5
#define SHORT 2000
#define LONG 50

/* --- a server: echoes, and closes what has sent a 'q' --- */

struct server {
  struct app app;
  const char *spec;
  unsigned flags;
  int orders, answers;
  struct mst_tuple tuple;
  mst_listener *listener;
  bool leaving;
};

static void echo(mst_conn *conn, unsigned events, void *user) {
  char bytes[64];
  ptrdiff_t n;
  (void)events;
  (void)user;
  while ((n = mst_read(conn, bytes, sizeof bytes)) > 0) {
    if (mst_write(conn, bytes, (size_t)n) != n) rig_fail("echo");
    if (bytes[n - 1] == 'q') break;
  }
  if (n != -MST_EAGAIN) mst_close(conn);
}

static void accept_all(mst_listener *listener, void *user) {
  mst_conn *conn;
  while ((conn = mst_accept(listener))) {
    mst_conn_set_event(conn, echo, user);
    echo(conn, 0, user);
  }
}

/* 'o': offer the tuple. 'l': a successor is there, leave when nothing is left to do. */
static void obey(struct server *server) {
  char order;
  struct pollfd wait = {.fd = server->orders, .events = POLLIN};
  if (server->leaving || poll(&wait, 1, 0) != 1) return;
  if (read(server->orders, &order, 1) != 1) rig_fail("order");
  server->leaving = order == 'l';
  if (order == 'o' && mst_host_offer(server->app.host, server->app.stack, &server->tuple)) rig_fail("offer");
  if (write(server->answers, "", 1) != 1) rig_fail("answer");
}

static void server_turn(struct server *server) {
  struct pollfd wait[] = {{.fd = mst_host_wait_fd(server->app.host), .events = POLLIN},
                          {.fd = server->leaving ? -1 : server->orders, .events = POLLIN}};
  mst_host_flush(server->app.host);
  poll(wait, 2, mst_host_deadline(server->app.host) == 0 ? 0 : 20);
  mst_host_process(server->app.host);
  obey(server);
}

static void serve(void *ctx, int ready_fd) {
  struct server *server = ctx;
  struct mst_endpoint local = endpoint("127.0.0.1", PORT);
  mst_binding *binding;
  server->tuple = (struct mst_tuple){.addr = local.addr, .port = local.port, .protocol = MST_TCP};
  app_open(&server->app, server->spec);
  int error = mst_bind(server->app.stack, MST_TCP, &local, server->flags, &binding);
  if (error) rig_fail(mst_strerror(error));
  if (mst_listen(binding, 1024, accept_all, server, &server->listener)) rig_fail("listen");
  mst_unbind(binding);
  app_ready(ready_fd);
  for (bool leaving = false; !leaving || mst_host_flows(server->app.stack, &server->tuple);) {
    leaving = server->leaving; /* what had come until then is processed before the flows are counted */
    server_turn(server);
  }
  mst_listener_close(server->listener);
  mst_host_close(server->app.host);
}

/* --- who starts and replaces them --- */

struct running {
  pid_t pid;
  int orders, answers; /* our ends */
};

static struct running server_start(const char *spec, unsigned flags) {
  struct server server = {.spec = spec, .flags = flags};
  int orders[2], answers[2];
  if (pipe(orders) || pipe(answers)) rig_fail("pipe");
  server.orders = orders[0];
  server.answers = answers[1];
  struct running running = {.pid = app_process(serve, &server), .orders = orders[1], .answers = answers[0]};
  close(orders[0]);
  close(answers[1]);
  return running;
}

static void order(const struct running *running, char what) {
  char byte;
  if (write(running->orders, &what, 1) != 1 || read(running->answers, &byte, 1) != 1) rig_fail("a server is gone");
}

/* Tells by a byte that the first serves, by another that the last does; `client` ends when no more is asked. */
static void direct(const char *spec, int ready_fd, int client) {
  struct running all[REPLACEMENTS + 1];
  char byte;
  all[0] = server_start(spec, 0);
  app_ready(dup(ready_fd));
  for (unsigned i = 1; i <= REPLACEMENTS; i++) {
    order(&all[i - 1], 'o');
    all[i] = server_start(spec, MST_BIND_TAKE);
    order(&all[i - 1], 'l');
  }
  if (write(ready_fd, "", 1) != 1) rig_fail("done");
  if (read(client, &byte, 1) != 0) rig_fail("client");
  order(&all[REPLACEMENTS], 'l');
  for (unsigned i = 0; i <= REPLACEMENTS; i++)
    if (!app_ended_well(all[i].pid)) rig_fail("a server");
}

/* --- the client --- */

struct call {
  mst_conn *conn;
  unsigned echoed;
  bool over;
};

static void heard(mst_conn *conn, unsigned events, void *user) {
  struct call *call = user;
  char bytes[64];
  ptrdiff_t n;
  if (events & MST_EV_ERROR) rig_fail(mst_strerror(mst_conn_error(conn)));
  while ((n = mst_read(conn, bytes, sizeof bytes)) > 0) call->echoed += (unsigned)n;
  if (n == 0) call->over = true;
}

static void call_open(struct app *app, struct call *call) {
  struct mst_endpoint remote = endpoint("127.0.0.1", PORT);
  *call = (struct call){0};
  assert_int_equal(mst_connect(app->stack, NULL, &remote, heard, call, &call->conn), 0);
}

static void say(struct call *call, const char *what) {
  assert_int_equal(mst_write(call->conn, what, 1), 1);
}

static void one_short_call(struct app *app) {
  struct call call;
  call_open(app, &call);
  say(&call, "q");
  while (!call.over) app_turn(app, RIG_LIMIT_MS);
  assert_int_equal(call.echoed, 1);
  mst_close(call.conn);
}

static void all_answer(struct app *app, struct call *calls, unsigned round) {
  for (unsigned i = 0; i < LONG; i++) say(&calls[i], "x");
  for (unsigned i = 0; i < LONG; i++)
    while (calls[i].echoed < round) app_turn(app, RIG_LIMIT_MS);
}

static bool has_come(int fd) {
  struct pollfd wait = {.fd = fd, .events = POLLIN};
  return poll(&wait, 1, 0) == 1;
}

static void no_connection_is_lost_while_servers_are_replaced(void **state) {
  struct daemon_rig *rig = *state;
  static struct call calls[LONG];
  struct app app;
  int done[2], over[2];
  char byte;
  assert_int_equal(pipe(done) || pipe(over), 0);
  pid_t director = fork();
  if (director == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(over[1]);
    direct(rig->spec, done[1], over[0]);
    _exit(0);
  }
  close(done[1]);
  close(over[0]);
  assert_int_equal(read(done[0], &byte, 1), 1);
  app_open(&app, rig->spec);
  for (unsigned i = 0; i < LONG; i++) call_open(&app, &calls[i]);
  all_answer(&app, calls, 1);
  unsigned count = 0;
  for (; count < SHORT || !has_come(done[0]); count++) one_short_call(&app);
  all_answer(&app, calls, 2);
  for (unsigned i = 0; i < LONG; i++) mst_close(calls[i].conn);
  assert_true(count >= SHORT);
  close(over[1]);
  int status;
  while (waitpid(director, &status, WNOHANG) == 0) app_turn(&app, 20);
  assert_int_equal(status, 0);
  mst_host_close(app.host);
  close(done[0]);
}

/* --- what a listener has not told of yet when it is handed over --- */

struct two_servers {
  struct app old, new;
  struct mst_tuple tuple;
  mst_listener *listener, *successor;
};

static void leave_waiting(mst_listener *listener, void *user) {
  (void)listener;
  (void)user;
}

static mst_listener *listen_at(struct app *app, uint16_t port, unsigned flags) {
  struct mst_endpoint local = endpoint("127.0.0.1", port);
  mst_binding *binding;
  mst_listener *listener;
  assert_int_equal(mst_bind(app->stack, MST_TCP, &local, flags, &binding), 0);
  assert_int_equal(mst_listen(binding, 16, leave_waiting, NULL, &listener), 0);
  mst_unbind(binding);
  return listener;
}

static void hand_over(struct two_servers *both, const char *spec) {
  assert_int_equal(mst_host_offer(both->old.host, both->old.stack, &both->tuple), 0);
  app_open(&both->new, spec);
  both->successor = listen_at(&both->new, both->tuple.port, MST_BIND_TAKE);
}

static void all_turn(struct two_servers *both, struct app *client) {
  app_turn(client, 5);
  app_turn(&both->old, 5);
  app_turn(&both->new, 5);
}

/* The old server's connection serves on, a new one is the successor's, and then nothing is left. */
static void old_serves_on_and_new_is_successors(struct two_servers *both, struct app *client, struct call *call) {
  struct call later;
  mst_conn *accepted = NULL;
  while (!(accepted = mst_accept(both->listener))) all_turn(both, client);
  mst_conn_set_event(accepted, echo, NULL);
  say(call, "q");
  while (!call->over) all_turn(both, client);
  assert_int_equal(call->echoed, 1);
  mst_close(call->conn);

  call_open(client, &later);
  while (!(accepted = mst_accept(both->successor))) all_turn(both, client);
  assert_null(mst_accept(both->listener));
  mst_conn_set_event(accepted, echo, NULL);
  say(&later, "q");
  while (!later.over) all_turn(both, client);
  mst_close(later.conn);
  while (mst_host_flows(both->old.stack, &both->tuple)) all_turn(both, client);
  mst_listener_close(both->listener);
}

static void begin(struct two_servers *both, struct app *client, struct call *call, const char *spec) {
  struct mst_endpoint local = endpoint("127.0.0.1", PORT);
  *both = (struct two_servers){.tuple = {.addr = local.addr, .port = PORT, .protocol = MST_TCP}};
  app_open(&both->old, spec);
  app_open(client, spec);
  both->listener = listen_at(&both->old, PORT, 0);
  call_open(client, call);
}

static void end(struct two_servers *both, struct app *client) {
  mst_host_close(client->host);
  mst_host_close(both->old.host);
  mst_host_close(both->new.host);
}

/* The SYN,ACK is sent, and the client has not been there to answer it. */
static void a_half_open_connection_stays(void **state) {
  struct daemon_rig *rig = *state;
  struct two_servers both;
  struct app client;
  struct call call;
  begin(&both, &client, &call, rig->spec);
  mst_host_flush(client.host);
  while (!mst_host_flows(both.old.stack, &both.tuple)) app_turn(&both.old, RIG_LIMIT_MS);
  mst_host_flush(both.old.host);
  assert_null(mst_accept(both.listener));
  hand_over(&both, rig->spec);
  old_serves_on_and_new_is_successors(&both, &client, &call);
  end(&both, &client);
}

static bool is_connected(const struct call *call) {
  struct mst_tcp_info info;
  mst_conn_get_info(call->conn, &info);
  return info.state == MST_ESTABLISHED;
}

/* The handshake is done, nobody has accepted it and nothing was sent. */
static void an_idle_connection_that_waits_for_accept_stays(void **state) {
  struct daemon_rig *rig = *state;
  struct two_servers both;
  struct app client;
  struct call call;
  begin(&both, &client, &call, rig->spec);
  while (!is_connected(&call)) {
    app_turn(&client, 5);
    app_turn(&both.old, 5);
  }
  mst_host_flush(client.host);
  hand_over(&both, rig->spec);
  old_serves_on_and_new_is_successors(&both, &client, &call);
  end(&both, &client);
}

/* Accepted by the program, which has said nothing and heard nothing before, at the moment or for a while after. */
static void an_accepted_idle_connection_stays(void **state) {
  struct daemon_rig *rig = *state;
  struct two_servers both;
  struct app client;
  struct call call;
  mst_conn *accepted;
  begin(&both, &client, &call, rig->spec);
  while (!(accepted = mst_accept(both.listener))) {
    app_turn(&client, 5);
    app_turn(&both.old, 5);
  }
  mst_conn_set_event(accepted, echo, NULL);
  hand_over(&both, rig->spec);
  mst_listener_close(both.listener); /* of what is accepted it resets nothing */
  for (int i = 0; i < 10; i++) all_turn(&both, &client);
  say(&call, "q");
  while (!call.over) all_turn(&both, &client);
  assert_int_equal(call.echoed, 1);
  mst_close(call.conn);
  end(&both, &client);
}

/* Who offers nothing is not succeeded, and nobody of another tuple is either. */
static void only_what_is_offered_is_taken(void **state) {
  struct daemon_rig *rig = *state;
  struct mst_endpoint local = endpoint("127.0.0.1", PORT + 1);
  struct mst_tuple tuple = {.addr = local.addr, .port = local.port, .protocol = MST_TCP};
  struct app first, second;
  mst_binding *held, *taken;
  app_open(&first, rig->spec);
  app_open(&second, rig->spec);
  assert_int_equal(mst_host_offer(first.host, first.stack, &tuple), -MST_EBADF);
  assert_int_equal(mst_bind(first.stack, MST_TCP, &local, 0, &held), 0);
  assert_int_equal(mst_bind(second.stack, MST_TCP, &local, MST_BIND_TAKE, &taken), -MST_EADDRINUSE);
  assert_int_equal(mst_host_offer(second.host, second.stack, &tuple), -MST_EBADF);
  assert_int_equal(mst_host_offer(first.host, first.stack, &tuple), 0);
  assert_int_equal(mst_bind(second.stack, MST_TCP, &local, 0, &taken), -MST_EADDRINUSE);
  assert_int_equal(mst_bind(second.stack, MST_TCP, &local, MST_BIND_TAKE, &taken), 0);
  mst_host_close(first.host);
  mst_host_close(second.host);
}

/* The same between two stacks of one process, whose switch is its own. */
static void embedded_too(void **state) {
  struct mst_host_options options = {.size = sizeof options, .embedded = true};
  struct mst_endpoint local = endpoint("127.0.0.1", PORT);
  struct mst_tuple tuple = {.addr = local.addr, .port = local.port, .protocol = MST_TCP};
  mst_host *host;
  mst_stack *first, *second;
  mst_binding *held, *taken;
  (void)state;
  assert_int_equal(mst_host_open(&options, &host, NULL), 0);
  assert_int_equal(mst_host_add_stack(host, NULL, &first), 0);
  assert_int_equal(mst_host_add_stack(host, NULL, &second), 0);
  assert_int_equal(mst_bind(first, MST_TCP, &local, 0, &held), 0);
  assert_int_equal(mst_bind(second, MST_TCP, &local, MST_BIND_TAKE, &taken), -MST_EADDRINUSE);
  assert_int_equal(mst_host_offer(host, first, &tuple), 0);
  assert_int_equal(mst_bind(second, MST_TCP, &local, MST_BIND_TAKE, &taken), 0);
  mst_host_close(host);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(no_connection_is_lost_while_servers_are_replaced),
      cmocka_unit_test(a_half_open_connection_stays),
      cmocka_unit_test(an_idle_connection_that_waits_for_accept_stays),
      cmocka_unit_test(an_accepted_idle_connection_stays),
      cmocka_unit_test(only_what_is_offered_is_taken),
      cmocka_unit_test(embedded_too),
  };
  return cmocka_run_group_tests(tests, daemon_setup, daemon_teardown);
}
