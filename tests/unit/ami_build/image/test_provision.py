"""Parts of provision.sh that need no machine; `make test-image` runs all of it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from ami_build.image import bundle

SCRIPT = (bundle.ROOT / bundle.FOLDER / "provision.sh").read_text()


def test_nothing_is_installed_without_a_hash() -> None:
    installed = re.findall(r"pip/bin/pip.*? install (.*?[^\\])\n", SCRIPT, re.DOTALL)
    assert len(installed) == 3
    ours = [command for command in installed if "${wheels[@]}" in command]
    assert len(ours) == 1
    assert all("--require-hashes" in command for command in installed if command not in ours)


def test_pip_tries_downloads_again() -> None:
    exports = "\n".join(re.findall(r"^export .*$", SCRIPT, re.MULTILINE))
    said = subprocess.run(
        ("bash", "-euc", f"scratch=/tmp\n{exports}\necho $PIP_RETRIES"),
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert int(said.stdout) >= 10


def test_the_summary_says_what_was_installed(tmp_path: Path) -> None:
    """Of both wheels: with two it once failed, and with it every bake."""
    (code,) = re.findall(r"<<'PYTHON'\n(.*?)\nPYTHON\n", SCRIPT, re.DOTALL)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "a.onnx").write_bytes(b"1234")
    (tmp_path / "warm.list").write_text("a\nb\n")
    (tmp_path / "health.json").write_text('{"engine": "resnet128"}')
    analyze = tmp_path / "systemd-analyze"
    analyze.write_text("#!/bin/sh\necho 'Overall exposure level for x: 1.2 OK'\n")
    analyze.chmod(0o755)
    wheels = ["/b/facerec-1-py3-none-any.whl", "/b/celery_sqs-1-py3-none-any.whl"]
    done = subprocess.run(
        (sys.executable, "-c", code, tmp_path, tmp_path / "health.json", *wheels),
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, capture_output=True, text=True,
        check=True, timeout=60,
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert told["wheel"] == "facerec-1-py3-none-any.whl"
    assert told["wheels"] == [Path(wheel).name for wheel in wheels]
    assert told["models"] == {"a.onnx": 4}
    assert set(told["exposure"].values()) == {1.2}


def test_apt_waits_for_its_locks_tries_again_and_takes_new_kernels(tmp_path: Path) -> None:
    """A fresh Debian machine holds them while it upgrades itself; some mirror drops a download."""
    (function,) = re.findall(
        r"^(system_packages\(\) \{\n.*?^\})$", SCRIPT, re.DOTALL | re.MULTILINE
    )
    for name in ("apt-get", "systemctl"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@" >>{tmp_path}/called\n')
        (tmp_path / name).chmod(0o755)
    subprocess.run(
        ("bash", "-euc", f"say() {{ :; }}\n{function}\nsystem_packages"),
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, check=True, timeout=60,
    )  # fmt: skip
    stopped, *called = (tmp_path / "called").read_text().splitlines()
    assert {"stop", "apt-daily.timer", "unattended-upgrades.service"} <= {*stopped.split()}
    assert len(called) == 3
    assert all("DPkg::Lock::Timeout=300" in line for line in called)
    assert all("Acquire::Retries=5" in line for line in called)
    (upgrade,) = [line for line in called if line.endswith(" upgrade")]
    assert "--with-new-pkgs" in upgrade
