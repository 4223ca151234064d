#!/bin/bash
# RFCS.md names functions and tests: each must exist. A test is `file: name, name`, with * for "begins so"; a packet
# script is `folder/name`, with * too.
cd "$(dirname "$0")/.." || exit 1
missing=0
complain() {
  echo "RFCS.md names $1, which is not there"
  missing=1
}

while IFS= read -r quoted; do
  if [[ $quoted =~ ^(test_)?([a-z_0-9]+):\ (.*)$ ]]; then
    [[ $quoted == "file: test" ]] && continue
    file=${BASH_REMATCH[2]}
    sources=$(ls test/unit/test_tcp_"$file".c test/unit/test_"$file".c test/sim/test_"$file".c 2>/dev/null)
    [[ $sources ]] || complain "$quoted"
    for name in ${BASH_REMATCH[3]//,/ }; do
      # shellcheck disable=SC2086
      [[ $sources ]] && ! grep -q "cmocka_unit_test(${name%\*}" $sources && complain "$file: $name"
    done
    earlier=$sources
  elif [[ $quoted =~ ^[a-z_0-9]+(, [a-z_0-9]+)*$ || $quoted =~ ^(mst_|MST_|PAWS)[A-Za-z_0-9*.]+$ ]]; then
    name=${quoted%\*}
    name=${name##*.}
    # shellcheck disable=SC2086
    grep -rqw -- "$name" csrc test/unit test/sim || grep -rq -- "$name" csrc $earlier || ls -d test/*/"$name".c >/dev/null 2>&1 || complain "$quoted"
  elif [[ $quoted =~ ^[a-z0-9]+/[a-z0-9-]+\*?$ ]]; then
    compgen -G "test/script/$quoted.pkt" >/dev/null || complain "$quoted"
  elif [[ $quoted =~ ^[a-zA-Z_./]+\.[ch]$ ]]; then
    [[ -e $quoted || -e csrc/tcp/$quoted || -e test/unit/$quoted ]] || complain "$quoted"
  fi
done < <(grep -o '`[^`]*`' RFCS.md | tr -d '`')

# Each MUST and SHOULD of RFC 9293 that the table has is shown by a packet script, or is said to be none for packets.
exempt=$(grep '^Not for packets:' RFCS.md)
comments=$(grep -h '^#' test/script/rfc9293/*.pkt)
while IFS= read -r id; do
  [[ $exempt == *"$id"[,.]* ]] || [[ $comments =~ $id[^0-9] ]] || {
    echo "RFCS.md has $id, which no script in test/script/rfc9293 names"
    missing=1
  }
done < <(grep -oE '^\| (MUST|SHLD|REC|MAY)[^|]*' RFCS.md | grep -oE '(MUST|SHLD)-[0-9]+')
exit $missing
