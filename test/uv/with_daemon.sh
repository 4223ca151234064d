#!/bin/bash
# Run a program with MULTISTACK naming a multistackd of its own, which serves for as long as the program runs.
#   with_daemon.sh MULTISTACKD PROGRAM [ARGUMENTS]
set -euo pipefail
folder=$(mktemp -d)
daemon=
trap '[ -z "$daemon" ] || kill "$daemon" 2> /dev/null; rm -rf "$folder"' EXIT
mkfifo "$folder/log"
"$1" --socket "$folder/control" 2> "$folder/log" &
daemon=$!
exec 3< "$folder/log"
while read -r line <&3; do
  case $line in *serving*) break ;; esac
done
cat <&3 >&2 &
MULTISTACK=unix:$folder/control "${@:2}"
