#!/bin/sh
# Write requirements/*.txt anew from pyproject.toml: exact versions and hashes, for every platform and Python >= 3.11.
# Versions stay as they are unless pyproject.toml forbids them; `lock.sh --upgrade` takes the newest.
set -eu

cd "$(dirname "$0")/.."
uv=$(command -v uv || true)
if [ -z "$uv" ]; then
    uv=.venv/lock/bin/uv
    [ -x "$uv" ] || scripts/pip-install.sh .venv/lock uv
fi

compile() {
    target=requirements/$1.txt
    shift
    # --no-emit-index-url and the like keep the files free of the registry that happened to serve them.
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --prerelease if-necessary-or-explicit \
        --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' --output-file "$target" "$@"
}

# dev holds the runtime, so the others take its versions and every file agrees with every other.
compile dev pyproject.toml requirements/build.in --extra dev --extra server "$@"
compile agent pyproject.toml --constraints requirements/dev.txt "$@"
compile server pyproject.toml --extra server --constraints requirements/dev.txt "$@"
compile build requirements/build.in --constraints requirements/dev.txt "$@"
compile node requirements/node.in --constraints requirements/dev.txt "$@"
compile bench pyproject.toml --extra bench --constraints requirements/dev.txt "$@"
