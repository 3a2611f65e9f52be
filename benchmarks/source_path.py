"""Lets a benchmark and its processes import the package and each other, wherever it is run."""

import os
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
FOLDERS = [str(_HERE), str(_HERE.parent / "src")]

sys.path[:0] = [folder for folder in FOLDERS if folder not in sys.path]
_known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
os.environ["PYTHONPATH"] = os.pathsep.join([*FOLDERS, *(name for name in _known if name)])
