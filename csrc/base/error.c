#include "multistack/error.h"

const char *mst_err_name(int error) {
  switch (error < 0 ? error : -error) {
#define MST__X(name, number, message)                                                                                  \
  case -(number): return #name;
    MST_ERROR_MAP(MST__X)
#undef MST__X
  default: return "UNKNOWN";
  }
}

const char *mst_strerror(int error) {
  switch (error < 0 ? error : -error) {
#define MST__X(name, number, message)                                                                                  \
  case -(number): return message;
    MST_ERROR_MAP(MST__X)
#undef MST__X
  case 0: return "no error";
  default: return "unknown error";
  }
}
