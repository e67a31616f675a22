"""Writes requirements/LICENCES.md from what pip-licenses says of an environment: ``make licences``.

Reads pip-licenses's JSON on standard input; which role pins a package is read from the ``.txt``
files here. Fails when a package of a role is not installed there.
"""

import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
FIRST = ("worker", "web", "controller", "flower")
APART = ("lint", "localstack", "celery-suite", "hashes")
"""In environments of their own, or no role: the hashes of the others' pins."""
COPYLEFT = re.compile(r"GPL|MPL|Mozilla|EPL|EUPL|CDDL", re.IGNORECASE)
SAID_ELSEWHERE = {
    "axe-playwright-python": "MIT, and axe-core in it MPL-2.0 (its files)",
}
"""Licences that a package does not declare in its metadata."""
BUNDLED = {
    "av": "its wheel carries FFmpeg built with x264 and x265: GPL-2.0-or-later. We use it "
    "unchanged. Who passes on a worker image or machine image that holds it must offer FFmpeg's, "
    "x264's and x265's source as the GPL says; to run the service is no distribution",
    "certifi": "MPL-2.0: a list of certificates, unchanged",
    "pathspec": "MPL-2.0: of mypy, for checks only",
    "pillow-heif": "its wheel carries libheif and libde265 (LGPL-3.0) and the encoder x265 "
    "(GPL-2.0), which the product never calls. Unchanged shared libraries; who passes on an image "
    "that holds the wheel must offer their source, as for av",
    "pycurl": "of its two licences we take MIT. Its wheel carries libidn2 and libunistring: "
    "LGPL-3.0-or-later or GPL-2.0-or-later, unchanged shared libraries. No image holds it "
    "(docker/slim.sh); a machine image does",
    "hypothesis": "MPL-2.0: for tests only",
    "axe-playwright-python": "axe-core is MPL-2.0: for tests only",
    "numpy": "its wheel carries libgfortran and libquadmath: GPL-3.0 with the runtime library "
    "exception and LGPL-2.1, unchanged shared libraries",
}
"""What copyleft means for us, also where the metadata tells only of the package's own code."""
HEADER = """# Licences

Made by `make licences` from the metadata of the packages; do not edit. *Roles* are the files in
this folder that pin a package: worker, web, controller, flower and lambda-… are what runs on AWS,
the others make, run or test it on a developer's machine. Not listed: the linters of `lint.txt`,
the emulator of `localstack.txt` and the tests of `celery-suite.txt`, in environments of their own.
"""


def pins(role: str) -> dict[str, str]:
    """Version by normalized name."""
    lines = (HERE / f"{role}.txt").read_text().splitlines()
    found = (re.match(r"([A-Za-z0-9._-]+)(?:\[.*\])?==(\S+)", line) for line in lines)
    return {normal(pin[1]): pin[2] for pin in found if pin}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    said = {normal(p["Name"]): (p["Version"], p["License"]) for p in json.load(sys.stdin)}
    others = sorted({file.stem for file in HERE.glob("*.txt")} - {*FIRST, *APART})
    roles = {role: pins(role) for role in (*FIRST, *others)}
    wanted = {n: v for role in roles.values() for n, v in role.items()}
    missing = [f"{n} {v}" for n, v in wanted.items() if said.get(n, ("",))[0] != v]
    if missing:
        print(f"not installed as pinned: {', '.join(missing)}", file=sys.stderr)
        return 1
    rows, flagged = [], []
    for name in sorted(wanted):
        licence = SAID_ELSEWHERE.get(name, said[name][1])
        users = ", ".join(role for role in roles if name in roles[role])
        rows.append(f"| {name} | {wanted[name]} | {licence} | {users} |")
        if name in BUNDLED or COPYLEFT.search(licence):
            flagged.append(f"- **{name}** ({users}): {BUNDLED.get(name, 'NOT LOOKED AT YET')}.")
    print(HEADER + "\n## Copyleft, and what it means for us\n\n" + "\n".join(flagged))
    print(
        "\n## All\n\n| package | version | licence | roles |\n|---|---|---|---|\n" + "\n".join(rows)
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
