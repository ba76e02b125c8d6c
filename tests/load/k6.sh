#!/usr/bin/env bash
# k6 and `lift load` at one server that is neither's, at the same time: both latencies and the server's own go out as a table, and whether they agree.
#
# Asked: 10 ms to the 95th percentile, 30 ms at the 99th. More than one answer in 20 is slow, so that no percentile lies where the slow ones begin.
# tests/load/k6.sh [SECONDS]: 60 if absent. k6 is $K6, or the one in $PATH (`go install go.k6.io/k6@latest`); lift is $LIFT or is built. npm `ws`
# echoes after 20 ms, each sixteenth text of a connection after 200 ms; each of both sends 500 texts a second on 50 connections.
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
clients=()
# The server ends with its stdin, which is descriptor 3.
trap 'kill "${clients[@]}" 2> "$dir/ended" || true; exec 3>&- || true; wait; rm -r "$dir"' EXIT

mkfifo "$dir/stdin"
node tests/foreign/ws_echo.mjs 20 200 16 < "$dir/stdin" > "$dir/log" &
server=$!
exec 3> "$dir/stdin"
timeout 10 sh -c "until grep -qs listening '$dir/log'; do sleep 0.1; done"
URL="ws://127.0.0.1:$(awk '$1 == "listening" {print $2}' "$dir/log")/"
export URL

cat > "$dir/scenario.yaml" <<END
name: k6
speaks: plain
behaviours:
  talker: { in_flight: 100, messages: [{ text: '{{ id }}' }] }
phases:
  - { name: arrive, duration: 1s, connections_per_second: $CONNECTIONS }
  - { name: talk, duration: ${SECONDS_EACH}s, messages_per_second: $RATE }
END
"$lift" load "$dir/scenario.yaml" --target "$URL" --report "$dir/lift.json" --quiet > "$dir/text" 3>&- &
clients+=($!)
SUMMARY="$dir/k6.json" "$k6" run --quiet --env SECONDS="$SECONDS_EACH" tests/load/k6_echo.js 3>&- &
clients+=($!)
wait "${clients[0]}" || cat "$dir/text"
wait "${clients[1]}"
clients=()
exec 3>&-
wait "$server"

node --input-type=module - "$dir" <<'END'
import { readFileSync } from "node:fs";
const read = (name) => readFileSync(`${process.argv[2]}/${name}`, "utf8");
const [k6, lift] = [JSON.parse(read("k6.json")), JSON.parse(read("lift.json"))];
const log = read("log").trim().split("\n").slice(1).map((line) => line.split(" "))
  .map(([came, left, text]) => ({ came: Number(came) / 1e6, kept: Number(BigInt(left) - BigInt(came)) / 1e6, by: text.startsWith("k6:") ? "k6" : "lift" }));
const logged = (by) => {
  const of = log.filter((text) => text.by === by), kept = of.map((text) => text.kept).sort((a, b) => a - b);
  const at = (percent) => kept[Math.max(0, Math.ceil((percent / 100) * kept.length) - 1)];
  return { from: Math.min(...of.map((text) => text.came)), to: Math.max(...of.map((text) => text.came)),
    row: [kept.length, ...[0, 50, 90, 95, 99, 99.9, 100].map(at)] };
};
const of = (name) => {
  const { min_us, p50_us, p90_us, p95_us, p99_us, p999_us, max_us, count } = lift.total.latencies[name];
  return [count, ...[min_us, p50_us, p90_us, p95_us, p99_us, p999_us, max_us].map((us) => us / 1000)];
};
const { count, min, med, max } = k6.reply;
const rows = {
  "k6": [count ?? k6.answered, min, med, k6.reply["p(90)"], k6.reply["p(95)"], k6.reply["p(99)"], k6.reply["p(99.9)"], max],
  "lift, from when it was sent": of("reply.uncorrected"),
  "lift, from when it was due": of("reply"),
  "server, what it kept k6's": logged("k6").row,
  "server, what it kept lift's": logged("lift").row,
};
const names = ["answers", "min", "p50", "p90", "p95", "p99", "p99.9", "max"], allowed = { min: 10, p50: 10, p90: 10, p95: 10, p99: 30 };
console.log("ms".padEnd(28), ...names.map((name) => name.padStart(8)));
for (const [name, [all, ...ms]] of Object.entries(rows)) console.log(name.padEnd(28), ...[all, ...ms.map((ms) => ms.toFixed(1))].map((cell) => String(cell).padStart(8)));
const wrong = [];
for (const [one, other] of [["lift, from when it was sent", "k6"], ["lift, from when it was sent", "server, what it kept lift's"], ["k6", "server, what it kept k6's"]])
  for (const [name, most] of Object.entries(allowed)) {
    const apart = Math.abs(rows[one][names.indexOf(name)] - rows[other][names.indexOf(name)]);
    if (!(apart <= most)) wrong.push(`${name}: ${one} and ${other} are ${apart.toFixed(1)} ms apart, and ${most} are allowed`);
  }
const all = process.env.RATE * process.env.SECONDS_EACH;
for (const [name, [answers]] of Object.entries(rows)) if (answers !== all) wrong.push(`${name}: ${answers} of ${all} texts`);
const [a, b] = [logged("k6"), logged("lift")], both = Math.min(a.to, b.to) - Math.max(a.from, b.from);
if (!(both >= 950 * process.env.SECONDS_EACH - 1000)) wrong.push("they were not there at the same time");
console.log(`both sent for ${(both / 1000).toFixed(1)} s of ${process.env.SECONDS_EACH}; lift: ${[lift.verdict.outcome, ...lift.verdict.reasons].join("; ")}; generator lag p99 ${lift.generator.lag.p99_us / 1000} ms`);
console.log(wrong.length === 0 ? "they agree" : `they do not agree\n${wrong.join("\n")}`);
process.exitCode = wrong.length === 0 && lift.verdict.outcome === "passed" ? 0 : 1;
END
