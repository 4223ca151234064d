// The few words of Node-API that the hot functions need. They are called for every read and write of a program, so they
// use the C interface; what runs once uses node-addon-api.
#pragma once

#include <cstdint>
#include <node_api.h>

namespace multistack {

class Host;

/** The arguments of one call from JavaScript. The functions are internal: their callers pass what the types say. */
template <size_t N> struct Args {
  napi_env env;
  napi_value values[N]{};
  Host *host = nullptr;

  Args(napi_env e, napi_callback_info info) : env(e) {
    size_t count = N;
    void *data = nullptr;
    napi_get_cb_info(env, info, &count, values, nullptr, &data);
    host = *static_cast<Host **>(data);
  }

  int32_t Int(size_t index) const {
    int32_t value = 0;
    napi_get_value_int32(env, values[index], &value);
    return value;
  }

  int64_t Int64(size_t index) const {
    int64_t value = 0;
    napi_get_value_int64(env, values[index], &value);
    return value;
  }
};

inline napi_value Number(napi_env env, int64_t value) {
  napi_value result = nullptr;
  napi_create_int64(env, value, &result);
  return result;
}

inline napi_value Integer(napi_env env, int32_t value) {
  napi_value result = nullptr;
  napi_create_int32(env, value, &result);
  return result;
}

} // namespace multistack
