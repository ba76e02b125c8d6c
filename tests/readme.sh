#!/usr/bin/env bash
# The README's two terminals, as one script: a server, then `lift` against it, `kill -9` in between.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet -p streamer-server -p lift-cli --bins
bin=$(realpath "${CARGO_TARGET_DIR:-target}/debug")
dir=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -9 "$server" 2>/dev/null; rm -rf "$dir"' EXIT

serve() { # the address to listen on
  "$bin/streamer" --data-dir "$dir/data" --listen "$1" --process-checkpoint-every 50ms > "$dir/out" 2> "$dir/log" &
  server=$!
  for _ in $(seq 600); do
    url=$(grep -o 'ws://[0-9.:]*' "$dir/out" | head -n 1 || true)
    [ -n "$url" ] && return
    kill -0 "$server" || { cat "$dir/log"; exit 1; }
    read -r -t 0.1 < <(:) || true
  done
  echo "the server did not start"; exit 1
}

# The first of the two to run makes the keys: here the tool, before any server.
"$bin/lift" token mint --data-dir "$dir/data" --sub ada --tenant acme --expires-in 10m > "$dir/ada.jwt"
serve 127.0.0.1:0
"$bin/lift" ws "$url" --token-file "$dir/ada.jwt" --send '{"id":"1","action":"echo","payload":"hello"}' --expect response
mkdir -p "$dir/data/objects/acme"
"$bin/streamer" generate-csv --rows 300000 --seed 1 "$dir/data/objects/acme/orders.csv"
"$bin/lift" ws "$url" --token-file "$dir/ada.jwt" --timeout 120s --expect complete --send '{"id":"2","action":"process_data","payload":{"input":"orders.csv","operations":[{"op":"deduplicate","by":["order_id"]}],"output":{"name":"clean.csv"}}}' > "$dir/replies" &
client=$!
for _ in $(seq 600); do
  grep -q '"type":"progress"' "$dir/replies" && break
  read -r -t 0.1 < <(:) || true
done
kill -9 "$server"
serve "${url#ws://}"
wait "$client"
[ "$(grep -c '"type":"complete"' "$dir/replies")" = 1 ]
rows=$(wc -l < "$dir/data/objects/acme/clean.csv")
echo "readme: one complete, $rows lines in clean.csv"

# The README's function, to the letter, from an empty directory.
mkdir "$dir/chat"
block() { # the first fenced block of a language
  awk -v fence="\`\`\`$1" '$0 == fence {on = 1; next} on && /^```/ {exit} on' README.md
}
block yaml > "$dir/chat/template.yaml"
block python > "$dir/chat/app.py"
kill "$server"
wait "$server" || true
(cd "$dir/chat" && exec "$bin/lift" dev --listen 127.0.0.1:0 --json) > "$dir/dev" &
server=$!
for _ in $(seq 600); do
  url=$(grep -o 'ws://[0-9.:]*/dev' "$dir/dev" | head -n 1 || true)
  [ -n "$url" ] && break
  read -r -t 0.1 < <(:) || true
done
[ "$("$bin/lift" ws "$url" --send hello --timeout 20s)" = "you said hello" ]
# One socket, before and after an edit: what is typed is a pipe here.
coproc talk { exec "$bin/lift" ws "$url" --timeout 60s; }
talking=$talk_PID
echo hello >&"${talk[1]}"
read -r -t 20 answer <&"${talk[0]}"
[ "$answer" = "you said hello" ]
sed -i 's/you said/you shouted/' "$dir/chat/app.py"
for _ in $(seq 600); do
  grep -q replaced "$dir/dev" && break
  read -r -t 0.1 < <(:) || true
done
echo hello >&"${talk[1]}"
read -r -t 20 answer <&"${talk[0]}"
[ "$answer" = "you shouted hello" ]
exec {talk[1]}>&-
wait "$talking"
echo "readme: the function answers, and so does its edited code"

# A load, and the page about it.
kill "$server"
wait "$server" || true
server=
"$bin/lift" load scenarios/short/message-throughput.yaml --report "$dir/load.html" > "$dir/load" 2> "$dir/seconds"
head -n 1 "$dir/load"
grep -q '^passed: message-throughput' "$dir/load"
grep -q '<svg' "$dir/load.html"
