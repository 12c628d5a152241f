#!/bin/sh
# What the Containerfile runs in an empty Debian, on the source in $1: a virtual environment in /opt/xpose.
# TORCH: which build of torch, as pip takes it. EXTRAS: what else, see pyproject.toml.
set -eu
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 python3-venv ca-certificates
python3 -m venv /opt/xpose
# shellcheck disable=SC2086  # several words are meant
/opt/xpose/bin/pip install --quiet --no-cache-dir $TORCH
/opt/xpose/bin/pip install --quiet --no-cache-dir "$1[$EXTRAS]"
/opt/xpose/bin/python -m compileall -q /opt/xpose/lib || true
rm -rf /var/lib/apt/lists/*
