#!/bin/bash
# Builds the Containerfile with this machine's pip configuration and tries what came of it: bash deploy/check.sh FOLDER
# As root, with Debian's podman, runc and debootstrap; takes some GB. On a read-only root, without a home, as user 10001,
# with /data alone to write to: `demo`, and a stream as process 1 that is sent SIGTERM and SIGINT. The base image is made
# by debootstrap, so that nothing but package registries is asked.
set -eu
folder=$(realpath "$1")
: "${TORCH:=torch==2.13.0}" "${DEBIAN:=bookworm}"
mkdir -p "$folder/source" "$folder/data"
chown 10001:10001 "$folder/data"

if ! podman image exists "xpose-base-$DEBIAN"; then
    debootstrap --variant=minbase "$DEBIAN" "$folder/base" >"$folder/debootstrap.log"
    tar -C "$folder/base" --one-file-system -c . | podman import --quiet - "xpose-base-$DEBIAN"
    rm -rf "$folder/base"
fi

if ! podman image exists xpose-check; then
    git archive HEAD | tar -x -C "$folder/source"
    # Where pip is told to look, and the folders of this machine that it is told of.
    { echo "[global]"; echo "cert = /ca.crt"; pip config list |
        sed -nE "s/^(global|:env:)\.(index-url|extra-index-url|find-links|constraint)='(.*)'$/\2 = \3/p" | sort -u
    } >"$folder/pip.conf"
    mounts=$(sed 's,file://,,g' "$folder/pip.conf" | grep -oE ' /[^/ ]+/[^/ ]+' | sort -u | while read -r path; do
        [ -d "$path" ] && printf -- '-v %s:%s:ro ' "$path" "$path"; done)
    # shellcheck disable=SC2086  # several words are meant
    podman build --format docker --isolation chroot --network host --layers=false $mounts -v "$folder/pip.conf:/etc/pip.conf:ro" \
        -v /etc/ssl/certs/ca-certificates.crt:/ca.crt:ro --build-arg DEBIAN="localhost/xpose-base-$DEBIAN" \
        --build-arg TORCH="$TORCH" -f deploy/Containerfile -t xpose-check "$folder/source"
fi
podman image inspect --format 'the image has {{.Size}} bytes' xpose-check

# container ARGUMENTS: as docs/deploy.md has it, but with nothing else to write to, and without a name for the user
container() {
    podman --runtime runc run --network host --read-only --read-only-tmpfs=false --tmpfs /tmp --passwd=false --cap-drop all \
        --ulimit nofile="$(ulimit -Sn):$(ulimit -Hn)" --ulimit nproc=4096:4096 \
        --security-opt no-new-privileges -v "$folder/data:/data" "$@"
}

container --rm --entrypoint sh xpose-check -c '
    id -u; for path in /x /opt/xpose/x /home/x; do ! touch $path 2>/dev/null || exit 1; done
    echo "nothing but /data and /tmp can be written"'
clip=$(container --rm --entrypoint sh xpose-check -c 'ls /opt/xpose/lib/python3*/site-packages/xpose_stream/configs/demo/crossing.mp4')
for signal in TERM INT; do
    container --name "xpose-$signal" --detach --entrypoint env xpose-check -u HOME xpose-stream run "$clip" --realtime --no-page \
        --metrics 127.0.0.1:19464 --record "/data/$signal.parquet" >"$folder/id"
    n=0
    until podman logs "xpose-$signal" 2>&1 | grep -q '"state": "playing"'; do
        n=$((n + 1)); [ $n -lt 300 ] || { podman logs "xpose-$signal"; exit 1; }
        sleep 0.2
    done
    sleep 3
    begun=$(date +%s%N)
    podman kill --signal "$signal" "xpose-$signal" >"$folder/id"
    status=$(podman wait --interval 20ms "xpose-$signal")
    echo "SIG$signal to process 1: ended with status $status in $((($(date +%s%N) - begun) / 1000000)) ms"
    podman rm --force "xpose-$signal" >"$folder/id"
    [ "$status" = 0 ] && [ -s "$folder/data/$signal.parquet" ]
done
container --rm --entrypoint env xpose-check -u HOME xpose-stream demo --out /data/out
