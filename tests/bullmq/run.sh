#!/usr/bin/env bash
# BullMQ on a Redis that syncs every write: `bash tests/bullmq/run.sh [CLIENTS] [SECONDS]` prints jobs per second.
# Needs redis-server (Debian's) and npm; the bench example calls it where both are there.
set -euo pipefail
cd "$(dirname "$0")"
[ -d node_modules/bullmq ] || npm install --no-audit --no-fund --silent
dir=$(mktemp -d)
port=$((20000 + RANDOM % 10000))
redis-server --bind 127.0.0.1 --port "$port" --dir "$dir" --appendonly yes --appendfsync always \
  --save "" --maxmemory-policy noeviction >"$dir/log" &
redis=$!
trap 'kill "$redis"; wait "$redis" 2>/dev/null || true; rm -rf "$dir"' EXIT
until redis-cli -p "$port" ping >/dev/null 2>&1; do kill -0 "$redis"; sleep 0.1; done
node bench.mjs "$port" "${1:-64}" "${2:-5}"
