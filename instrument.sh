#!/bin/sh
# Instrument a running container without touching its image: it is made again with OpenTelemetry, verified, and put back
# as it was when it does not come up or nothing arrives. Needs root and the Ophion agent on the engine's host.
#
#   ./instrument.sh shop                 detects the language, says "ready" in seconds, or rolls back and says why
#   ./instrument.sh shop nodejs          language given
#   ./instrument.sh --list | --status shop | --undo shop | --dry-run shop | --recover
#
# This is `ophion-agent instrument` with the agent found for you: OPHION_AGENT, the installed one, the one on PATH, or
# that of this working copy, which is set up with `make setup` where there is none. `./instrument.sh --help` lists all.
set -eu

here=$(cd "$(dirname "$0")" && pwd)

find_agent() {
    for candidate in "${OPHION_AGENT:-}" /opt/ophion-agent/current/bin/ophion-agent "$(command -v ophion-agent || true)" \
        "$here/.venv/bin/ophion-agent"; do
        if [ -n "$candidate" ] && [ -x "$candidate" ]; then
            echo "$candidate"
            return
        fi
    done
    echo "instrument.sh: no ophion-agent found; setting up the one of $here" >&2
    make --directory="$here" --no-print-directory setup >&2
    echo "$here/.venv/bin/ophion-agent"
}

agent=$(find_agent)
exec "$agent" instrument "$@"
