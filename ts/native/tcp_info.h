// mst_tcp_info as an object of JavaScript.
#pragma once

#include <multistack/multistack.h>
#include <napi.h>

namespace multistack {

/** `TcpInfo` of ts/src/types.ts: of a listener state and local alone, in TIME-WAIT remote too. What is not known is
 * left out. */
Napi::Object DescribeTcp(Napi::Env env, const mst_tcp_info &info);

} // namespace multistack
