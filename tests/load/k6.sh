#!/usr/bin/env bash
# k6 and `lift load` in turn at one server that is neither's: both latencies go out as a table, and whether they agree.
#
# Asked: 10 ms to the 90th percentile, 30 ms at the 99th, which is in the slow answers' middle; the 95th is where they begin.
# tests/load/k6.sh [SECONDS]: 60 if absent. k6 is $K6, or the one in $PATH (`go install go.k6.io/k6@latest`). npm `ws`
# echoes after 20 ms, each twentieth text of a connection after 200 ms; both send 500 texts a second on 50 connections.
set -euo pipefail
cd "$(dirname "$0")/../.."
export CONNECTIONS=50 RATE=500 SECONDS_EACH="${1:-60}" K6_NO_USAGE_REPORT=true
k6="${K6:-k6}"
lift="${LIFT:-}"
if [ -z "$lift" ]; then
  cargo build --quiet --release -p lift-cli --bin lift
  lift="${CARGO_TARGET_DIR:-target}/release/lift"
fi
dir=$(mktemp -d)
server=
# The server ends with its stdin, which is descriptor 3.
trap 'exec 3>&- || true; [ -z "$server" ] || wait "$server" || true; rm -r "$dir"' EXIT

serve() {
  rm -f "$dir/stdin" "$dir/listening"
  mkfifo "$dir/stdin"
  node tests/foreign/ws_echo.mjs 20 200 20 < "$dir/stdin" > "$dir/listening" &
  server=$!
  exec 3> "$dir/stdin"
  timeout 10 sh -c "until grep -q listening '$dir/listening'; do sleep 0.1; done"
  URL="ws://127.0.0.1:$(awk '$1 == "listening" {print $2}' "$dir/listening")/"
  export URL
}

unserve() {
  exec 3>&-
  wait "$server"
  server=
}

serve
SUMMARY="$dir/k6.json" "$k6" run --quiet --env SECONDS="$SECONDS_EACH" tests/load/k6_echo.js
unserve
cat > "$dir/scenario.yaml" <<END
name: k6
speaks: plain
behaviours:
  talker: { in_flight: 100, messages: [{ text: '{{ id }}' }] }
phases:
  - { name: arrive, duration: 1s, connections_per_second: $CONNECTIONS }
  - { name: settle, duration: 1s }
  - { name: talk, duration: ${SECONDS_EACH}s, messages_per_second: $RATE }
END
serve
"$lift" load "$dir/scenario.yaml" --target "$URL" --report "$dir/lift.json" --quiet > "$dir/text" || cat "$dir/text"
unserve
node --input-type=module - "$dir" <<'END'
import { readFileSync } from "node:fs";
const read = (name) => JSON.parse(readFileSync(`${process.argv[2]}/${name}.json`));
const [k6, lift] = [read("k6"), read("lift")];
const of = (name) => {
  const { min_us, p50_us, p90_us, p95_us, p99_us, p999_us, max_us, count } = lift.total.latencies[name];
  return [count, ...[min_us, p50_us, p90_us, p95_us, p99_us, p999_us, max_us].map((us) => (us / 1000).toFixed(1))];
};
const { count, min, med, max } = k6.reply;
const rows = [
  ["ms", "answers", "min", "p50", "p90", "p95", "p99", "p99.9", "max"],
  ["k6", count ?? k6.answered, min, med, k6.reply["p(90)"], k6.reply["p(95)"], k6.reply["p(99)"], k6.reply["p(99.9)"], max],
  ["lift, from when it was sent", ...of("reply.uncorrected")],
  ["lift, from when it was due", ...of("reply")],
];
for (const [name, ...cells] of rows) console.log(name.padEnd(28), ...cells.map((cell) => String(cell).padStart(8)));
const apart = [["min", min, 10], ["p50", med, 10], ["p90", k6.reply["p(90)"], 10], ["p99", k6.reply["p(99)"], 30]]
  .map(([name, by_k6, most]) => [name, Math.abs(by_k6 - lift.total.latencies["reply.uncorrected"][`${name}_us`] / 1000), most])
  .filter(([, ms, most]) => !(ms <= most));
for (const [name, ms, most] of apart) console.log(`${name}: ${ms.toFixed(1)} ms apart, and ${most} are allowed`);
console.log(apart.length === 0 ? "they agree" : "they do not agree");
process.exitCode = apart.length === 0 && lift.verdict.outcome === "passed" ? 0 : 1;
console.log(`lift: ${[lift.verdict.outcome, ...lift.verdict.reasons].join("; ")}; generator lag p99 ${lift.generator.lag.p99_us / 1000} ms`);
END
