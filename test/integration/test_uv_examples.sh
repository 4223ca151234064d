#!/bin/bash
# The example servers on real traffic: on lo of a namespace of their own, the user stack and the OS's stack side by side
# on one address, each asked by the OS's own clients; and nothing is left when they go, politely or not.
set -euo pipefail
: "${BUILD:?the build directory}"
examples=$BUILD/integrations/libuv/examples

if [ ! -x "$examples/uv-http" ]; then
  echo "libuv is not installed: nothing to test"
  exit 77
fi
if [ "$(id -u)" != 0 ]; then
  echo "needs root: it makes a network namespace and opens AF_XDP"
  exit 77
fi
if [ -z "${INSIDE:-}" ]; then INSIDE=1 exec unshare --net --mount-proc --fork --pid --kill-child bash "$0"; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkfifo "$work/listens"
ip link set lo up
before=$(sysctl net.ipv4.conf.lo.accept_local net.ipv4.conf.lo.route_localnet; ip -d link show lo)

# start PROGRAM ARGUMENTS...: returns when it listens.
start() {
  "$examples/$1" "${@:2}" > "$work/listens" &
  server=$!
  read -r line < "$work/listens"
  [ "$line" = listening ]
}

stop() {
  kill "-$1" "$server"
  wait "$server" 2> /dev/null || [ "$1" = KILL ]
}

check_http() {
  curl --silent --fail --max-time 10 "http://127.0.0.1:$port/" | grep -q 'Hello from'
  curl --silent --fail --max-time 10 --output "$work/#1" "http://127.0.0.1:$port/[1-50]"
  head -c 3000000 /dev/zero | curl --silent --fail --max-time 10 --header 'Transfer-Encoding: chunked' \
    --data-binary @- "http://127.0.0.1:$port/" | grep -q 'Hello from'
}

check_echo() {
  head -c 20000000 /dev/urandom > "$work/sent"
  exec 3<> /dev/tcp/127.0.0.1/"$port"
  cat "$work/sent" >&3 &
  head -c 20000000 <&3 > "$work/got"
  wait $!
  exec 3>&-
  cmp "$work/sent" "$work/got"
}

for program in http echo; do
  echo "== uv-$program"
  start "uv-$program" --os --listen 127.0.0.1:8081
  os_server=$server
  start "uv-$program" --port xdp:lo --listen 127.0.0.1:8080
  port=8080 "check_$program"
  port=8081 "check_$program"

  echo "== the tuple is taken"
  if "$examples/uv-$program" --os --listen 127.0.0.1:8080 2> "$work/refusal"; then exit 1; fi
  grep -q 'address already in use' "$work/refusal"
  stop TERM
  kill "$os_server"
  wait "$os_server"
done

echo "== killed, it leaves nothing behind"
start uv-echo --port xdp:lo --listen 127.0.0.1:8080
stop KILL
for _ in $(seq 100); do
  after=$(sysctl net.ipv4.conf.lo.accept_local net.ipv4.conf.lo.route_localnet; ip -d link show lo)
  [ "$after" != "$before" ] || break
  sleep 0.05
done
[ "$after" = "$before" ] || { diff <(echo "$before") <(echo "$after"); exit 1; }
