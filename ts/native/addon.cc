// The addon's entry. Each Node environment that loads it gets a host of its own when it calls `open`.
#include <napi.h>

#include "control.h"
#include "exports.h"
#include "host.h"

namespace multistack {
namespace {

/** What one environment keeps; the functions' data points to it. */
struct Addon {
  Host *host = nullptr;
};

Addon &Of(const Napi::CallbackInfo &info) {
  return *static_cast<Addon *>(info.Data());
}

/** open({ports, embedded, pcap, trace, congestionControl}, slab, onEvent) */
void Open(const Napi::CallbackInfo &info) {
  const auto options = info[0].As<Napi::Object>();
  HostOptions host_options;
  const auto ports = options.Get("ports").As<Napi::Array>();
  for (uint32_t i = 0; i < ports.Length(); i++) {
    host_options.ports.push_back(ports.Get(i).As<Napi::String>());
  }
  const Napi::Value pcap = options.Get("pcap");
  if (pcap.IsString()) host_options.pcap_path = pcap.As<Napi::String>();
  const Napi::Value congestion_control = options.Get("congestionControl");
  if (congestion_control.IsString()) host_options.congestion_control = congestion_control.As<Napi::String>();
  const Napi::Value trace = options.Get("trace");
  if (trace.IsString()) host_options.trace_path = trace.As<Napi::String>();
  const Napi::Value embedded = options.Get("embedded");
  host_options.embedded = embedded.IsBoolean() && embedded.As<Napi::Boolean>();
  Host::Open(info.Env(), host_options, info[1].As<Napi::Uint8Array>(), info[2].As<Napi::Function>(), &Of(info).host);
}

/** close(): see Host::Close. */
void Close(const Napi::CallbackInfo &info) {
  if (Host *host = Of(info).host) host->Close();
}

/** setActive(active): whether the program's sockets keep the process alive. */
void SetActive(const Napi::CallbackInfo &info) {
  if (Host *host = Of(info).host) host->loop().SetActive(info[0].As<Napi::Boolean>());
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  auto *addon = new Addon;
  env.SetInstanceData(addon);
  for (const auto *list : {&ConnExports(), &ReportExports()}) {
    for (const Export &each : *list) {
      napi_value function = nullptr;
      napi_create_function(env, each.name, NAPI_AUTO_LENGTH, each.function, &addon->host, &function);
      exports.Set(each.name, Napi::Value(env, function));
    }
  }
  exports.Set("open", Napi::Function::New(env, Open, "open", addon));
  exports.Set("close", Napi::Function::New(env, Close, "close", addon));
  exports.Set("setActive", Napi::Function::New(env, SetActive, "setActive", addon));
  exports.Set("ControlSocket", ControlSocket::Define(env));
  return exports;
}

} // namespace
} // namespace multistack

// NOLINTNEXTLINE(misc-use-anonymous-namespace): the macro's
static Napi::Object InitModule(Napi::Env env, Napi::Object exports) {
  return multistack::Init(env, exports);
}
NODE_API_MODULE(multistack, InitModule)
