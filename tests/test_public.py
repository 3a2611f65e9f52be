"""The names that others import stay where they are looked for; torch is loaded only if needed."""

import ast
import importlib
import os
import subprocess
import sys

import pytest

from cfdapo.study import ROOT

PUBLIC = {
    "cfdapo.credit": {
        "CreditConfig",
        "CreditRule",
        "DropRequest",
        "Rollout",
        "Span",
        "TokenAdvantages",
        "find_answer",
        "find_spans",
        "measure_drops",
        "measure_drops_batch",
        "to_tokens",
        "token_weights",
    },
    "cfdapo.problems": {"extract_answer", "is_correct"},
}


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_are_there(module):
    found = importlib.import_module(module)
    assert set(found.__all__) == PUBLIC[module]
    for name in PUBLIC[module]:
        assert getattr(found, name).__doc__ and name in dir(found)
    with pytest.raises(AttributeError, match=f"{module}.*no attribute 'find_nothing'"):
        found.find_nothing  # noqa: B018, asking is what is tested


def test_finding_spans_and_grading_load_no_torch():
    program = (
        "import sys\n"
        "from cfdapo.credit import DropRequest, Span, find_answer, find_spans, to_tokens\n"
        "from cfdapo.problems import extract_answer, is_correct\n"
        "assert find_spans('2 + 3 = 5') and is_correct('#### 5', '5')\n"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_the_package_itself_imports_from_modules_so_that_reruns_can_follow():
    """What decides a result is found by following imports, which end at a name made on demand."""
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module in PUBLIC:
                assert not {alias.name for alias in node.names} & PUBLIC[node.module], path
