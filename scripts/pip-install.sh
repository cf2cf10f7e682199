#!/bin/sh
# Install packages into the virtual environment $1 with the given pip arguments, which it makes where there is none.
# Every download is checked against the hashes in requirements/. Python compiles what is imported when it is: of all that
# the locks bring, that is the smaller part.
set -eu

venv=$1
shift
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$("$(dirname "$0")/find-python.sh")
    echo "making $venv with $python"
    "$python" -m venv --clear "$venv"
fi
exec "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile "$@"
