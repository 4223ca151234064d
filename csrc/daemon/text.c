#include "text.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

char *mst__text_escape(const char *text, char *out, size_t room) {
  static const char more[] = "...";
  size_t used = 0, cut = 0; /* cut: where "..." may still be put */
  for (; *text; text++) {
    unsigned char c = (unsigned char)*text;
    bool plain = c >= ' ' && c < 0x7f && c != '"' && c != '\\';
    size_t wanted = plain ? 1 : 4;
    if (used + wanted >= room) {
      memcpy(out + cut, more, sizeof more);
      return out;
    }
    if (plain)
      out[used] = (char)c;
    else
      snprintf(out + used, room - used, "\\x%02x", c);
    used += wanted;
    if (used + sizeof more <= room) cut = used;
  }
  out[used] = 0;
  return out;
}
