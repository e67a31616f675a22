"""The Packer template, read by Packer itself where it is installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

TEMPLATE = Path("ami_build/image/app-tier.pkr.hcl")


@pytest.mark.skipif(not shutil.which("packer"), reason="packer is not installed")
@pytest.mark.parametrize("base_image", ["", "ami-0123456789abcdef0"])
def test_packer_takes_the_template(base_image: str) -> None:
    variables = (f"-var=bundle={TEMPLATE}", f"-var=base_image={base_image}")
    done = subprocess.run(
        ("packer", "validate", *variables, TEMPLATE), capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
