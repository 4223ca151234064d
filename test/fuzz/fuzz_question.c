/* What watchers ask multistackd, and what apps tell of their sockets: the one is understood or refused for a reason,
 * the other becomes a JSON string whatever it is. */
#include "daemon/question.h"
#include "host/json.h"

#include <stdlib.h>
#include <string.h>

#define CHECK(condition) ((condition) ? (void)0 : abort())

static bool is_terminated(const char *text, size_t room) {
  return memchr(text, 0, room) != NULL;
}

static void ask(const uint8_t *data, size_t size) {
  struct mst__question question;
  struct mst_failure failure = {0};
  int error = mst__question_parse((const char *)data, size, &question, &failure);
  CHECK(is_terminated(question.what, sizeof question.what) && is_terminated(question.port, sizeof question.port));
  CHECK(question.channel >= -1 && question.snap_bytes > 0);
  CHECK(!question.protocol || question.protocol == MST_TCP || question.protocol == MST_UDP);
  CHECK(error ? error == -MST_EINVAL && failure.code == error && *failure.message : !*failure.message);
}

/* One string, and all of the bytes are accounted for. */
static void relay(const uint8_t *data, size_t size) {
  struct mst__json json = {.grows = true};
  mst__json_put_text(&json, (const char *)data, size);
  CHECK(!json.failed && json.length >= 2 && json.out[0] == '"' && json.out[json.length - 1] == '"');
  size_t plain = 0, escaped = 0;
  for (size_t i = 1; i < json.length - 1; i++) {
    CHECK((unsigned char)json.out[i] >= 0x20 && json.out[i] != '"');
    if (json.out[i] != '\\') {
      plain++;
      continue;
    }
    escaped++;
    i += json.out[i + 1] == 'u' ? 5 : 1;
    CHECK(i < json.length - 1);
  }
  CHECK(plain + escaped == size);
  free(json.out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ask(data, size);
  relay(data, size);
  return 0;
}
