#!/bin/sh
# Print the path of a Python that can run Ophion and make virtual environments; say what to install where there is none.
# PYTHON names the one to take.
set -eu

works() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

if [ -n "${PYTHON:-}" ]; then
    candidates=$PYTHON
else
    candidates='python3.13 python3.12 python3.11 python3.14 python3'
fi
incomplete=
for candidate in $candidates; do
    works "$candidate" || continue
    # Debian ships venv without what it needs to put pip into an environment.
    if "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        "$candidate" -c 'import sys; print(sys.executable)'
        exit 0
    fi
    incomplete=${incomplete:-$candidate}
done

if [ -n "$incomplete" ]; then
    version=$("$incomplete" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "$incomplete cannot make virtual environments; on Debian and Ubuntu: apt install python$version-venv" >&2
else
    echo "no Python 3.11 or newer found (tried: $candidates); install one, such as with" \
        "\`apt install python3 python3-venv\` or \`dnf install python3.12\`, or name it: PYTHON=/path/to/python3.12" >&2
fi
exit 1
