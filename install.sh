#!/bin/sh
# Install the Ophion agent on this host, upgrade it, or remove it. Needs root, Python 3.11 or newer and its venv module.
#
#   ./install.sh                        install from this working copy, or from the release that this file lies in
#   ./install.sh --config my.yaml       ... with this configuration
#   ./install.sh --upgrade              put another version in its place; configuration and data stay
#   ./install.sh --uninstall            remove it; configuration and data stay
#   ./install.sh --uninstall --purge    ... and remove configuration, data and the service user
#
# Options:
#   --from DIR|WHEEL|PACKAGE   what to install: a source tree, a wheel, or a name for pip such as ophion-agent==0.1.0
#   --prefix DIR               where the program goes (/opt/ophion-agent)
#   --no-start                 install without starting the service
#   --root DIR                 put everything below DIR and create no user: to try it out
#
# PREFIX/versions holds one virtual environment a version, and PREFIX/current points to the one that runs. A version that
# does not accept the configuration, or does not become ready, is removed again and the one before it runs on.
# Python packages listed in /etc/ophion-agent/plugins.txt are installed into every version.
set -eu
umask 022

here=$(cd "$(dirname "$0")" && pwd)
name=ophion-agent
prefix=/opt/ophion-agent
root=
from=$here
config=
action=install
purge=no
start=yes

say() { echo "install.sh: $*"; }
fail() {
    echo "install.sh: $*" >&2
    exit 1
}
value() { [ $# -ge 2 ] && [ -n "$2" ] || fail "$1: needs a value; see the top of this file"; }

while [ $# -gt 0 ]; do
    case $1 in
        --config) value "$@"; config=$2; shift ;;
        --from) value "$@"; from=$2; shift ;;
        --prefix) value "$@"; prefix=${2%/}; shift ;;
        --root) value "$@"; root=$2; shift ;;
        --upgrade) action=upgrade ;;
        --uninstall) action=uninstall ;;
        --purge) purge=yes ;;
        --no-start) start=no ;;
        -h | --help) sed -n '2,/^set -eu/{/^set/d;s/^# \{0,1\}//;p;}' "$0"; exit 0 ;;
        *) fail "unknown option '$1'; see ./install.sh --help" ;;
    esac
    shift
done

case $prefix in
    *[!A-Za-z0-9/._-]* | [!/]* | '') fail "--prefix: must be an absolute path of letters, digits and ._-, got '$prefix'" ;;
esac
[ "$purge" = no ] || [ "$action" = uninstall ] || fail "--purge: only together with --uninstall"
if [ -n "$root" ]; then
    mkdir -p "$root"
    root=$(cd "$root" && pwd)
elif [ "$(id -u)" != 0 ]; then
    fail "must run as root, such as with sudo; --root DIR tries it out without"
fi

opt=$root$prefix
etc=$root/etc/ophion-agent
state=$root/var/lib/ophion-agent
unit=$root/etc/systemd/system/$name.service
link=$root/usr/local/bin/$name

has_systemd() { [ -d "$root/run/systemd/system" ] && command -v systemctl >/dev/null; }
has_user() { [ -z "$root" ] && id "$name" >/dev/null 2>&1; }

uninstall() {
    if has_systemd; then
        systemctl disable --now "$name" >/dev/null 2>&1 || true
    fi
    rm -f "$unit" "$link"
    if has_systemd; then
        systemctl daemon-reload
    fi
    rm -rf "$opt/versions"
    rm -f "$opt/current" "$opt/.current"
    rmdir "$opt" 2>/dev/null || true
    if [ "$purge" = yes ]; then
        rm -rf "$etc" "$state" "$unit.d"
        if has_user; then
            userdel "$name" 2>/dev/null || deluser "$name"
        fi
        say "removed, with its configuration and data"
    else
        say "removed; $etc and $state stay, --uninstall --purge removes them too"
    fi
}

if [ "$action" = uninstall ]; then
    uninstall
    exit 0
fi

# ---- what is there, to be put back when the new version does not work

previous=$(readlink "$opt/current" 2>/dev/null || true)
[ "$action" = install ] || [ -n "$previous" ] || fail "--upgrade: $name is not installed in $opt; leave --upgrade out"
[ -z "$config" ] || [ -f "$config" ] || fail "--config: $config is not a file"
work=$(mktemp -d)
release=
finished=no

put_back() {
    for file in "$etc/agent.yaml" "$unit"; do
        saved=$work/saved/$(basename "$file")
        if [ -e "$saved" ]; then
            cp -p "$saved" "$file"
        else
            rm -f "$file"
        fi
    done
    if [ -n "$previous" ]; then
        [ "$(readlink "$opt/current")" = "$previous" ] || point_to "$previous"
        if has_systemd && [ -e "$work/switched" ]; then
            systemctl daemon-reload || true
            systemctl restart "$name" || true
        fi
        say "$(basename "$previous") stays installed" >&2
    else
        if has_systemd && [ -e "$work/switched" ]; then
            systemctl disable --now "$name" >/dev/null 2>&1 || true
        fi
        rm -f "$opt/current" "$link"
    fi
    if [ -n "$release" ] && [ "versions/$release" != "$previous" ]; then
        rm -rf "$opt/versions/$release"
    fi
    rmdir "$opt/versions" "$opt" 2>/dev/null || true
}

finish() {
    status=$?
    trap - EXIT INT TERM
    [ "$finished" = yes ] || put_back || true
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir "$work/saved"
for file in "$etc/agent.yaml" "$unit"; do
    [ ! -e "$file" ] || cp -p "$file" "$work/saved/"
done

# A rename, so that there is no moment without a `current`.
point_to() {
    ln -sfn "$1" "$opt/.current"
    "$python" -c 'import os, sys; os.replace(sys.argv[1], sys.argv[2])' "$opt/.current" "$opt/current"
}

# ---- the wheel, and a virtual environment with it

python=$("$here/scripts/find-python.sh")

fetch_wheel() {
    if [ -d "$from" ]; then
        say "building a wheel of $from"
        "$here/scripts/pip-install.sh" "$work/build" --require-hashes -r "$from/requirements/build.txt"
        # A host's agent shows no pages.
        OPHION_DASHBOARD=skip "$work/build/bin/python" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$work" "$from"
    elif [ -f "$from" ]; then
        cp "$from" "$work/"
    else
        say "getting $from"
        "$python" -m venv "$work/build"
        "$work/build/bin/python" -m pip download --quiet --no-deps --only-binary :all: --dest "$work" "$from"
    fi
    set -- "$work"/*.whl
    [ -f "$1" ] || fail "--from: $from gave no wheel"
    wheel=$1
}

lock() {
    for folder in "$from" "$here"; do
        if [ -f "$folder/requirements/agent.txt" ]; then
            echo "$folder/requirements/agent.txt"
            return
        fi
    done
}

digest() { "$python" -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$1"; }

# Versions whose wheel differs get folders that differ, also where both say 0.1.0.
choose_release() {
    sum=$(digest "$wheel")
    release=$(basename "$wheel" | cut -d- -f2)
    if [ -e "$opt/versions/$release" ] && [ "$(cat "$opt/versions/$release/.wheel" 2>/dev/null)" != "$sum" ]; then
        if [ "versions/$release" = "$previous" ]; then
            release=$release-$(echo "$sum" | cut -c1-8)
        else
            rm -rf "$opt/versions/$release"
        fi
    fi
}

make_environment() {
    environment=$opt/versions/$release
    if [ "$(cat "$environment/.wheel" 2>/dev/null)" = "$sum" ]; then
        say "$release is in place already"
    else
        say "installing $release to $environment"
        rm -rf "$environment"
        mkdir -p "$opt/versions"
        requirements=$(lock)
        if [ -n "$requirements" ]; then
            "$here/scripts/pip-install.sh" "$environment" --require-hashes -r "$requirements"
            "$here/scripts/pip-install.sh" "$environment" --no-deps "$wheel"
        else
            "$here/scripts/pip-install.sh" "$environment" "$wheel"
        fi
    fi
    if [ -f "$etc/plugins.txt" ]; then
        "$here/scripts/pip-install.sh" "$environment" -r "$etc/plugins.txt"
    fi
    "$environment/bin/python" -m pip check >/dev/null ||
        fail "$release needs other packages than $(lock) names; use the install.sh that came with that version"
    echo "$sum" >"$environment/.wheel"
}

# ---- user, configuration, unit

add_user() {
    [ -z "$root" ] && ! has_user || return 0
    if command -v useradd >/dev/null; then
        useradd --system --user-group --home-dir /var/lib/ophion-agent --no-create-home --shell /usr/sbin/nologin "$name"
    else
        addgroup -S "$name"
        adduser -S -D -H -h /var/lib/ophion-agent -s /sbin/nologin -G "$name" "$name"
    fi
}

own() {
    if has_user; then
        chown "$1" "$2"
    fi
}

place_files() {
    mkdir -p "$etc" "$state" "$(dirname "$link")"
    chmod 0750 "$etc"
    chmod 0700 "$state"
    own "root:$name" "$etc"
    own "$name:$name" "$state"
    if [ -n "$config" ]; then
        cmp -s "$config" "$etc/agent.yaml" || cp "$config" "$etc/agent.yaml"
    elif [ ! -e "$etc/agent.yaml" ]; then
        source=$from/configs/agent.yaml
        [ -f "$source" ] || source=$here/configs/agent.yaml
        cp "$source" "$etc/agent.yaml"
    fi
    if [ ! -e "$etc/agent.env" ]; then
        echo '# Environment of the agent, such as BACKEND_TOKEN=...; ${env:BACKEND_TOKEN} in agent.yaml takes it.' \
            >"$etc/agent.env"
    fi
    for file in "$etc/agent.yaml" "$etc/agent.env"; do
        chmod 0640 "$file"
        own "root:$name" "$file"
    done
    ln -sfn "$opt/current/bin/$name" "$link"
    if [ -d "$root/etc/systemd/system" ] || has_systemd; then
        mkdir -p "$(dirname "$unit")"
        sed "s#/opt/ophion-agent/#$prefix/#" "$here/deploy/remote-agent/ophion-agent.service" >"$unit"
        chmod 0644 "$unit"
    fi
}

# Runs as the service's user, with its environment: a file that this user cannot read is a problem too.
validates() (
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
            [A-Za-z_]*=*) export "${line%%=*}=$(echo "${line#*=}" | sed "s/^\([\"']\)\(.*\)\1\$/\2/")" ;;
        esac
    done <"$etc/agent.env"
    export STATE_DIRECTORY="$state"
    set -- "$opt/versions/$release/bin/$name" validate --config "$etc/agent.yaml"
    if has_user && command -v runuser >/dev/null; then
        set -- runuser -u "$name" -- "$@"
    fi
    cd /
    "$@"
)

start_service() {
    systemctl daemon-reload
    if [ "$start" = no ]; then
        return
    fi
    # Type=notify: this returns when the agent says that it is ready, and fails when it does not.
    systemctl enable "$name" >/dev/null 2>&1 && systemctl restart "$name"
}

remove_old() {
    for folder in "$opt"/versions/*; do
        case versions/$(basename "$folder") in
            "versions/$release" | "$previous") ;;
            *) rm -rf "$folder" ;;
        esac
    done
}

fetch_wheel
choose_release
make_environment
add_user
place_files
validates || fail "$release does not accept $etc/agent.yaml (see above)"
point_to "versions/$release"
if has_systemd; then
    touch "$work/switched"
    start_service || fail "$release did not become ready; see: journalctl -u $name"
fi
finished=yes
remove_old

say "$release is installed"
echo "  program        $link"
echo "  configuration  $etc/agent.yaml, environment in $etc/agent.env"
echo "  data           $state"
if has_systemd && [ "$start" = yes ]; then
    echo "  service        systemctl status $name; systemctl reload $name takes a changed configuration"
elif has_systemd; then
    echo "  start it with  systemctl enable --now $name"
else
    echo "  no systemd here; run it as the user $name from your own supervisor, with SIGTERM to stop:"
    echo "    STATE_DIRECTORY=$state $link run --config $etc/agent.yaml"
fi
