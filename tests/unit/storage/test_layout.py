"""Object keys are spelled in :mod:`facerec_tasks.storage.layout` and nowhere else."""

import ast
from collections.abc import Iterator
from pathlib import Path

import yaml

from facerec_tasks.storage import layout

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = (
    "facerec_tasks", "webapp", "autoscale", "ami_build", "cli", "local", "serverless", "benchmarks",
)  # fmt: skip
MEDIA_TYPES = ("video/mp", "video/quicktime", "video/webm", "video/x-", "video/ogg")


def modules() -> Iterator[Path]:
    home = Path(layout.__file__).resolve()
    for package in PACKAGES:
        yield from (path for path in (ROOT / package).rglob("*.py") if path.resolve() != home)


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """String literals of a module, docstrings left out."""
    tree = ast.parse(path.read_text())
    prose = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.lineno, node.value


def stray_keys(path: Path) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line}: {text!r}"
        for line, text in strings(path)
        if text.startswith(layout.STATE_PREFIXES) and not text.startswith(MEDIA_TYPES)
    ]


def test_no_other_module_spells_an_object_key() -> None:
    assert [key for path in modules() for key in stray_keys(path)] == []


def test_the_search_finds_a_stray_key_and_no_prose(tmp_path: Path) -> None:
    module = tmp_path / "stray.py"
    module.write_text('"""results/ in prose."""\nKEY = f"results/{1}.json"\n')
    assert [text for _, text in strings(module) if text.startswith(layout.STATE_PREFIXES)] == [
        "results/"
    ]


def lifecycle_prefixes(template: str) -> set[str]:
    """Prefixes of the state bucket's lifecycle rules."""

    class Loader(yaml.SafeLoader):
        """Reads CloudFormation's short forms as plain values."""

    Loader.add_multi_constructor("!", lambda loader, suffix, node: str(node.value))
    document = yaml.load((ROOT / template).read_text(), Loader)
    rules = document["Resources"]["StateBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    return {rule["Prefix"] for rule in rules if "Prefix" in rule}


def test_old_versions_below_every_prefix_of_the_state_bucket_expire() -> None:
    found = lifecycle_prefixes("ami_build/stack/stack.yaml")
    assert set(layout.STATE_PREFIXES) - found == set()
    assert found - {layout.CONTROLLER_DECISIONS} <= set(layout.STATE_PREFIXES)


def test_result_key_parses_to_its_task_id() -> None:
    assert layout.task_id_of_result(layout.result("3a-b")) == "3a-b"


def test_purged_prefixes_are_prefixes_of_the_state_bucket() -> None:
    assert set(layout.PHOTO_RECORDS) < set(layout.STATE_PREFIXES)
