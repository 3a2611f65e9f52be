"""Whether what is to generate evaluations is there; no torch, as the workflow asks it."""

import importlib.util
import re
from pathlib import Path

from cfdapo.files import UserError

PACKAGE = "vllm"
# It, or its build for another kind of machine, among an environment's packages.
_IN_ENVIRONMENT = re.compile(r"^\s*-\s*vllm(-cpu|-tpu)?\s*([=<>!~;\[].*)?$", re.MULTILINE)


def require_vllm() -> None:
    """Raise `UserError` where this interpreter has no vLLM; it is not imported for that."""
    if importlib.util.find_spec(PACKAGE) is None:
        raise UserError(
            "evaluation.engine: vllm needs the package vllm, which is not installed beside this "
            "Python; install it there, or set evaluation.engine: transformers"
        )


def require_vllm_in(environment: Path) -> None:
    """Raise `UserError` where a conda environment's file has no vLLM for its jobs."""
    if not _IN_ENVIRONMENT.search(environment.read_text(encoding="utf-8")):
        raise UserError(
            f"evaluation.engine: vllm needs the package vllm, which {environment.name}, the "
            "environment of the jobs, does not have; add it there, run without --use-conda, or set "
            "evaluation.engine: transformers"
        )
