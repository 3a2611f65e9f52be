"""All that is to be known of a GPU, in one command and in the order of its worth.

    python benchmarks/gpu.py --minutes 8 --out FILE

Exactness, the cost of credit, the paper's training step, kill and resume, and where time goes, each
in pieces that are bounded in time and written to FILE as they go: cut at any moment, FILE holds
what was measured until then. No network, no study, no Snakemake; models are random, of the paper's
shapes. What the pieces print goes to FILE.log. gpu_tables.py turns FILE into tables.

Exits with 0 if every piece was done and all in it agrees, else with 1: something failed, did not
fit, differs, or its time was up.
"""

import argparse
import math
import os
import sys
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import source_path  # noqa: F401 - finds the package
from units import Machine, Outcome, Unit, run_unit, start_processes

from cfdapo.files import UserError, write_json
from cfdapo.provenance import environment

PARTS = {
    "machine": "the device, and the rates that it reaches",
    "exactness": "prefix against serial, and every mode through the real trainer",
    "cost": "credit beside one generation and one LoRA update",
    "step": "the paper's training step as configured",
    "resume": "killed and resumed against left alone",
    "hotspots": "where the time goes inside credit",
}
# A unit may take this many times its share of what is left; what others leave goes to the rest.
STRETCH = 2.5
# Seconds more where a process has to import everything by itself.
IMPORTS = 30
# Seconds that a unit of a module may take: on a large GPU, and tiny on one core.
SECONDS = {
    "machine": (15, 2),
    "exactness": (14, 2),
    "modes": (15, 14),
    "cost": (55, 4),
    "step_of_paper": (20, 4),
    "resume": (50, 24),
    "hotspots": (30, 5),
}


def plan(given: argparse.Namespace) -> list[Unit]:
    """The units of the parts that were asked for, in the order of their worth."""
    dear = "qwen2.5-3b"
    shapes = (dear, "qwen3-1.7b", "llama3.2-3b")

    def unit(part: str, name: str, module: str, **arguments: Any) -> Unit:
        seconds = SECONDS[module][given.tiny]
        # Generating takes most of a step; it is done once.
        weight = seconds * 3.5 if arguments.get("generate") else seconds
        return Unit(part, name, module, weight, arguments)

    def step(shape: str, label: str = "", **arguments: Any) -> Unit:
        return unit("step", f"{shape}{label}", "step_of_paper", shape=shape, **arguments)

    units = [
        unit("machine", given.device, "machine"),
        *(unit("exactness", shape, "exactness", shape=shape) for shape in shapes),
        *(
            unit("exactness", f"modes, {precision}", "modes", precision=precision)
            for precision in ("bfloat16", "float32")
        ),
        *(unit("cost", shape, "cost", shape=shape) for shape in shapes),
        step(dear, generate=True),
        step(dear, ", checkpointing", checkpointing=True),
        step(dear, ", passes of 4", micro_batch=4),
        step(dear, ", passes of 4, checkpointing", micro_batch=4, checkpointing=True),
        step("qwen3-1.7b"),
        step("llama3.2-3b"),
        unit("resume", "counterfactual", "resume"),
        unit("hotspots", dear, "hotspots", shape=dear),
    ]
    return [one for one in units if one.part in given.parts]


class Record:
    """FILE: every change is written at once, to a temporary name that is then renamed."""

    def __init__(self, path: Path, head: dict[str, Any], units: list[Unit]):
        self.path = path
        self.content = head | {"parts": {}}
        for unit in units:
            part = self.content["parts"].setdefault(
                unit.part, {"what": PARTS[unit.part], "units": {}}
            )
            part["units"][unit.name] = {"status": "not begun"}
        self.save()

    def set(self, unit: Unit, **values: Any) -> None:
        self.content["parts"][unit.part]["units"][unit.name].update(values)
        self.save()

    def emit(self, unit: Unit, name: str, values: dict[str, Any]) -> None:
        """Add a unit's `values` to what it found under `name`."""
        mine = self.content["parts"][unit.part]["units"][unit.name]
        mine.setdefault("results", {}).setdefault(name, {}).update(values)
        self.save()

    def save(self) -> None:
        write_json(self.path, _plain(self.content))


def _plain(value: Any) -> Any:
    """The same as JSON can hold it: None for numbers that it has not, texts for other objects."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def main() -> None:
    """Run the units of the parts that were asked for."""
    given = parse_arguments()
    if given.device == "cpu":  # before anything looks for a GPU
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        # On busy cores several threads wait for each other longer than they compute.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    end = time.monotonic() + 60 * given.minutes
    units = plan(given)
    record = Record(given.out, head(given), units)
    machine = Machine(given.device, given.tiny)
    try:
        measure(units, machine, record, end)
    except KeyboardInterrupt:
        sys.exit(130)
    states = [
        unit["status"]
        for part in record.content["parts"].values()
        for unit in part["units"].values()
    ]
    counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    wrong = complaints(record.content)
    print("\n".join([*wrong, f"{given.out}: {counted}"]))
    sys.exit(int(set(states) != {"done"} or bool(wrong)))


def complaints(content: dict[str, Any]) -> list[str]:
    """A line for all that failed within a piece, and for all that does not agree or work."""
    return [
        f"{part}: {unit}: {name}: {values.get('error', 'does not do what it is to do')}"
        for part, found in content["parts"].items()
        for unit, piece in found["units"].items()
        for name, values in piece.get("results", {}).items()
        if "error" in values or False in (values.get("agrees"), values.get("works"))
    ]


def parse_arguments() -> argparse.Namespace:
    """The command line; exits with 2 where FILE exists."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=8, help="all that it may take")
    parser.add_argument("--out", type=Path, required=True, help="a new file of JSON")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="tiny models: does everything run?")
    parser.add_argument(
        "--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="default: all"
    )
    given = parser.parse_args()
    if given.out.exists():
        parser.error(f"--out: {given.out} exists, and nothing is written over; name another")
    return given


def head(given: argparse.Namespace) -> dict[str, Any]:
    """What FILE says of how it was made; of the hardware the part machine tells more."""
    return {
        "command": [Path(sys.executable).name, *sys.argv],
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "device": given.device,
        "tiny": given.tiny,
        "minutes": given.minutes,
        **environment(),
    }


def measure(units: list[Unit], machine: Machine, record: Record, end: float) -> None:
    """Run `units` one after another until `end`; those for which no time is left do not begin.

    Where the first cannot use the device in a forked process, processes start anew; where it
    cannot then either, that is all.
    """
    log = record.path.with_name(f"{record.path.name}.log").resolve()
    modules = sorted({f"gpu_parts.{unit.module}" for unit in units})
    machine, context = start_processes(machine, modules)
    for index, unit in enumerate(units):
        weight = unit.weight / sum(one.weight for one in units[index:])
        outcome = _run(unit, context, machine, record, log, end, weight)
        if unit.part == "machine" and outcome.status == "failed":
            machine, context = start_processes(replace(machine, method="spawn"), modules)
            outcome = _run(unit, context, machine, record, log, end, weight)
            if (outcome.error or "").startswith("NoDevice"):
                break


def _run(
    unit: Unit,
    context: Any,
    machine: Machine,
    record: Record,
    log: Path,
    end: float,
    weight: float,
) -> Outcome:
    """Run one unit, which may take `weight` of what is left of the time, and note how it ended."""
    began = time.monotonic()
    left = end - began
    if left <= 0:
        return Outcome("not begun")
    record.set(unit, status="running")

    def emit(name: str, values: dict[str, Any]) -> None:
        record.emit(unit, name, values)

    imports = IMPORTS if machine.method == "spawn" else 0
    seconds = min(left, STRETCH * weight * left + imports)
    outcome = run_unit(context, unit, machine, log, seconds, emit)
    _finish(record, unit, outcome, time.monotonic() - began)
    return outcome


def _finish(record: Record, unit: Unit, outcome: Outcome, seconds: float) -> None:
    """Put down and print how a unit ended."""
    failed = {"error": outcome.error, "traceback": outcome.traceback} if outcome.error else {}
    record.set(unit, status=outcome.status, seconds=round(seconds, 2), **failed)
    why = f": {outcome.error}" if outcome.error else ""
    print(f"{unit.part}: {unit.name}: {outcome.status} after {seconds:.1f} s{why}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
