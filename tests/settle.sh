#!/usr/bin/env bash
# The commands of docs/settle-on-aws.md that need no account, to the letter.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet -p lift-cli --bins --example settle
commands=$(awk '$0 == "```sh" {on = 1; next} on && /^```/ {exit} on' docs/settle-on-aws.md)
timeout 300 bash -c "set -euo pipefail; trap 'kill %1 2> /dev/null || true' EXIT; $commands"
