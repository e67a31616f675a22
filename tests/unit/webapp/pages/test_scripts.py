"""The scripts of the pages are all there: a missing one would stop a page without a word."""

import re
from pathlib import Path

import pytest

STATIC = Path("webapp/static")
_IMPORT = re.compile(r"import \{([^}]*)\} from \"\./([\w-]+\.js)\"")
_EXPORT = re.compile(r"^export (?:async )?(?:function\*?|const|let|class) ([\w$]+)", re.MULTILINE)


@pytest.mark.parametrize("script", sorted(STATIC.glob("*.js")), ids=lambda path: path.name)
def test_imports_name_what_another_script_exports(script: Path) -> None:
    for names, module in _IMPORT.findall(script.read_text()):
        exported = set(_EXPORT.findall((STATIC / module).read_text()))
        assert {name.strip() for name in names.split(",") if name.strip()} <= exported, module


def test_templates_name_scripts_that_are_there() -> None:
    for template in Path("webapp/templates").glob("*.html"):
        for name in re.findall(r"static/([\w-]+\.\w+)", template.read_text()):
            assert (STATIC / name).is_file(), f"{template.name}: {name}"
