#!/usr/bin/env bash
# Spark's GPU discovery: the GPUs of this machine, or of this container, as {"name": "gpu", "addresses": [...]}.
# By UUID and not by number: where YARN isolates GPUs, each container counts its own from 0, and CUDA may count in
# another order than nvidia-smi does. CUDA_VISIBLE_DEVICES takes UUIDs everywhere.
set -euo pipefail
if ! uuids=$(nvidia-smi --query-gpu=uuid --format=csv,noheader); then
  echo "discover_gpus.sh: nvidia-smi failed: ${uuids:-is the NVIDIA driver installed?}" >&2
  exit 1
fi
addresses=$(sed -e 's/[[:space:]]//g' -e '/^$/d' -e 's/.*/"&"/' <<<"$uuids" | paste -sd, -)
echo "{\"name\": \"gpu\", \"addresses\": [$addresses]}"
