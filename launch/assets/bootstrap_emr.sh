#!/usr/bin/env bash
# EMR's bootstrap action on every node: the environment, from wheels in the user's bucket, into /opt/hvdcells.
#
#   bootstrap_emr.sh WHEELHOUSE DIGEST [--gpu]
#
# WHEELHOUSE is the s3:// address that `hvdcells launch emr --build-environment` filled, DIGEST the SHA-256 of its
# SHA256SUMS: nothing is installed that is not byte by byte what was built. With --gpu, YARN is given what it isolates
# GPUs with: cgroups of version 1, which Amazon Linux 2023 does not mount by itself.
set -euo pipefail

wheelhouse=${1:?WHEELHOUSE is missing}
digest=${2:?DIGEST is missing}
gpu=${3:-}
prefix=${HVDCELLS_PREFIX:-/opt/hvdcells}
spark=${HVDCELLS_SPARK:-/usr/lib/spark}
cgroup=${HVDCELLS_CGROUP:-/spark-rapids-cgroup}

fail() {
  echo "bootstrap_emr.sh: $*" >&2
  exit 1
}

# Packages are installed as root; a user without sudo is one in a test.
as_root() {
  if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi
}

command -v python3.11 >/dev/null || as_root dnf install --quiet --assumeyes python3.11 python3.11-pip
command -v python3.11 >/dev/null || fail "there is no python3.11"

# Gigabytes of wheels: not into the memory that Amazon Linux keeps /tmp in.
export TMPDIR=${TMPDIR:-/var/tmp}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
aws s3 sync --only-show-errors --exclude '*' --include '*.whl' --include SHA256SUMS --exclude 'build/*' "$wheelhouse" "$work"
[[ -f $work/SHA256SUMS ]] || fail "no environment at $wheelhouse: build it with hvdcells launch emr --build-environment"
found=$(sha256sum "$work/SHA256SUMS" | cut -d' ' -f1)
[[ $found == "$digest" ]] || fail "the environment at $wheelhouse is not the one this cluster was launched with"
(cd "$work" && sha256sum --check --strict --quiet SHA256SUMS) || fail "files at $wheelhouse are not those that were built"
listed=$(sed 's/^[0-9a-f]*  //' "$work/SHA256SUMS")
for wheel in "$work"/*.whl; do
  grep -Fxq "$(basename "$wheel")" <<<"$listed" || fail "$(basename "$wheel") at $wheelhouse was not built with the others"
done

as_root mkdir -p "$prefix"
as_root chown "$(id -u):$(id -g)" "$prefix"
python3.11 -m venv --clear "$prefix"
# All of them and nothing else: which wheels belong together was settled when they were built.
"$prefix/bin/python" -m pip install --quiet --no-index --no-deps --no-cache-dir --disable-pip-version-check "$work"/*.whl
# Spark's Python is the cluster's own, also where no spark-submit says so (notebooks, doctor). It is installed after this.
site=$("$prefix/bin/python" -I -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "import glob, sys; sys.path += glob.glob('$spark/python') + glob.glob('$spark/python/lib/py4j-*-src.zip')" \
  >"$site/spark_of_the_cluster.pth"
# Isolated: of the launch packages about, the one that was just installed.
assets=$("$prefix/bin/python" -I -c 'from importlib.util import find_spec; print(find_spec("launch").submodule_search_locations[0])')/assets
install -m 755 "$assets/discover_gpus.sh" "$prefix/discover_gpus.sh"
install -m 644 "$assets/submit.py" "$prefix/submit.py"

if [[ $gpu == --gpu ]]; then
  as_root mkdir -p "$cgroup/devices"
  mountpoint -q "$cgroup/devices" || as_root mount -t cgroup -o devices cgroupv1-devices "$cgroup/devices"
  as_root chmod a+rwx -R "$cgroup"
fi
echo "hvdcells is installed in $prefix"
