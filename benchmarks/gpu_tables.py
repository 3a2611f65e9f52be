"""The tables of files that gpu.py wrote, as Markdown for benchmarks/README.md.

    python benchmarks/gpu_tables.py FILE...

What failed or was cut is named under its table; a dash stands for what was not measured.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import source_path  # noqa: F401 - finds the package

from cfdapo.analysis.rendering.table import DASH, Cell, Note, Table, to_markdown
from cfdapo.files import UserError, read_json

Results = dict[str, dict[str, Any]]

# GiB of the usual card that is sold with so many GB, the smallest of them, by nvidia-smi.
CARDS = {"24 GB": 22.4, "40 GB": 39.5, "48 GB": 44.9, "80 GB": 79.6}
GIB = 2**30
PHASES = ("generation", "credit", "update")
# Lines of the lists of operations and kernels.
MOST = 12


def main() -> None:
    """Print the tables of all files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="+", help="what gpu.py wrote")
    for path in parser.parse_args().files:
        print("\n".join(document(read_json(path))))


def document(content: dict[str, Any]) -> Iterator[str]:
    """The lines of one file's tables."""
    yield from heading(content)
    for part, table in TABLES.items():
        if part in content["parts"]:
            units = content["parts"][part]["units"]
            for made in table({name: unit.get("results", {}) for name, unit in units.items()}):
                if made.rows:
                    yield to_markdown(made)
            yield from unfinished(units)


def heading(content: dict[str, Any]) -> Iterator[str]:
    """What was measured where, by which versions, and the device's rates."""
    machine = content["parts"].get("machine", {"units": {}})["units"]
    found = next((unit.get("results", {}) for unit in machine.values()), {})
    card = found.get("nvidia-smi, before", {})
    name = card.get("name") or found.get("hardware", {}).get("processor", "unknown device")
    driver = f", driver {card['driver_version']}" if card.get("driver_version") else ""
    cuda = found.get("torch", {}).get("cuda")
    versions = content["versions"]
    commit = content["git"]["commit"] or "of no clone"
    yield (
        f"{name}{driver}, Python {versions['python']}, torch {versions['torch']}"
        f"{f' (CUDA {cuda})' if card and cuda else ''}, transformers {versions['transformers']}, "
        f"commit {commit[:12]}{' with changes' if content['git']['dirty'] else ''}, "
        f"{content['date'][:10]}, `{' '.join(content['command'])}`."
        f"{' Tiny sizes: only that it runs is to be seen.' if content['tiny'] else ''}"
    )
    rates = [
        f"{name.removeprefix('matrix products, ')} {values['operations a second'] / 1e12:.3g}"
        for name, values in found.items()
        if name.startswith("matrix products") and "operations a second" in values
    ]
    if rates:
        yield f"\nMatrix products, 10^12 operations a second: {', '.join(rates)}."
    yield ""


def unfinished(units: dict[str, Any]) -> Iterator[str]:
    """A line for everything that failed, was cut or did not begin."""
    for name, unit in units.items():
        if unit["status"] != "done":
            why = f" ({unit['error']})" if unit.get("error") else ""
            yield f"- {name}: {unit['status']}{why}"
        for inner, values in unit.get("results", {}).items():
            if "error" in values:
                where = f" in step {values['step']}, {values['phase']}" if "phase" in values else ""
                yield f"- {name}, {inner}{where}: {values['error']}"
    yield ""


def exactness(units: dict[str, Results]) -> Iterator[Table]:
    """Prefix against serial by shape and precision, then interventions, then modes."""
    yield table(
        "Prefix against serial, in nats",
        ("shape", "precision", "spans", "median drop", "max diff", "in small passes")
        + ("serial from float32", "prefix from float32", "twice the same bits", "agrees"),
        [
            [name, precision]
            + picked(values, "spans", "median drop", "max diff", "max diff in small passes")
            + picked(values, "serial from float32, rms", "prefix from float32, rms")
            + picked(values, "prefix twice, the same bits", "agrees")
            for name, results in units.items()
            for precision, values in results.items()
            if precision in ("bfloat16", "float32", "tf32")
        ],
        "In bfloat16 and TF32 both methods round: the columns from float32 are their errors (root "
        "of the mean square) from serial in float32 with the same weights. It agrees where "
        "prefix's is at most 1.5 times serial's; in float32 where no drop differs by over 0.001.",
        *(
            f"{name}: prefix runs {results['way']['prefix runs']}, as the model "
            f"{results['way']['reason']}"
            for name, results in units.items()
            if not results.get("way", {}).get("agrees", True)
        ),
    )
    combined = {
        name: {key: values for key, values in results.items() if " / " in key}
        for name, results in units.items()
    }
    shapes = [name for name, results in combined.items() if results]
    names = dict.fromkeys(key for results in combined.values() for key in results)
    yield table(
        "Largest difference between prefix and serial in float32, in nats",
        ("intervention / sink", *shapes),
        [[key, *(combined[name].get(key, {}).get("max diff") for name in shapes)] for key in names],
    )
    modes = {name: results for name, results in units.items() if name.startswith("modes")}
    names = dict.fromkeys(key for results in modes.values() for key in results)

    def works(values: dict[str, Any]) -> bool | None:
        return values.get("works", values.get("agrees"))

    yield table(
        "Modes through the real trainer: did a step do what it is to do?",
        ("mode", *modes),
        [[key, *(works(results.get(key, {})) for results in modes.values())] for key in names],
    )


def cost(units: dict[str, Results]) -> Iterator[Table]:
    """Every method's cost by shape; the rest of the step and the paper's own below."""
    rows, notes = [], []
    for name, results in units.items():
        for method in ("serial", "batched", "prefix"):
            values = results.get(method, {})
            rows.append(
                [name, method, *picked(values, "passes", "tokens", "seconds", "speed-up")]
                + picked(values, "over floor", "of a step")
                + [_gib(values.get("peak bytes")), values.get("max diff")]
            )
        notes.append(f"{name}: {_rest(results)}")
    paper = next((results["paper"] for results in units.values() if "paper" in results), {})
    if paper:
        whole = sum(paper[key] for key in ("generation", "log-probs", "CF estimation", "other"))
        notes.append(
            f"The paper, Qwen2.5-3B: credit {paper['CF estimation']:.1f} s of {whole:.1f} s, "
            f"{paper['of a step']:.0%} of a step."
        )
    yield table(
        "Cost of credit",
        ("shape", "method", "passes", "tokens", "s", "speed-up", "over floor", "of a step")
        + ("peak GiB beside the model", "max diff"),
        rows,
        *notes,
    )


def _rest(results: Results) -> str:
    """The setting and the rest of the step in words."""
    setting, floor = results.get("setting", {}), results.get("floor", {})
    parts = [
        f"{setting.get('completions')} completions of {setting.get('completion tokens', 0):.0f} "
        f"tokens, {setting.get('spans')} spans, {setting.get('dtype')}"
    ]
    for phase in ("generation", "update"):
        seconds = results.get(phase, {}).get("seconds")
        parts.append(f"{phase} {DASH if seconds is None else show(seconds)} s")
    if floor:
        parts.append(
            f"floor {show(floor['floor seconds'])} s at "
            f"{floor['operations a second'] / 1e12:.3g}e12 operations a second"
        )
    return ", ".join(parts)


def step(units: dict[str, Results]) -> Iterator[Table]:
    """Seconds and peak memory by phase, and the cards that it fits."""
    generated: dict[str, dict[str, float]] = {}
    rows = []
    for name, results in units.items():
        steps = [results[key] for key in sorted(results) if key.startswith("step ")]
        shape = results.get("setting", {}).get("shape", name)
        # The last of its kind, which is warmed up.
        phases = {phase: one[phase] for one in steps for phase in PHASES if phase in one}
        if "generation" in phases:
            generated[shape] = phases["generation"]
        elif shape in generated:
            phases["generation"] = generated[shape]
        seconds = [phases.get(phase, {}).get("seconds") for phase in PHASES]
        measured = [one[phase] for one in steps for phase in PHASES if phase in one]
        rows.append(
            [name, *seconds, None if None in seconds else seconds[1] / sum(seconds)]
            + [_gib(phases.get(phase, {}).get("allocated bytes")) for phase in PHASES]
            + [fits(results, [*measured, *phases.values()], size) for size in CARDS.values()]
        )
    yield table(
        "The paper's training step, as long as it may be",
        ("step", *(f"{phase} s" for phase in PHASES), "credit of the step")
        + tuple(f"peak GiB, {phase}" for phase in PHASES)
        + tuple(f"fits {card}" for card in CARDS),
        rows,
        "Generation is measured once a shape. Fits: yes where all that torch reserved and the rest "
        "of the process fit into the smallest usual card of that size, tight where only what was "
        "allocated does.",
    )


def _gib(size: int | None) -> float | None:
    return None if size is None else size / GIB


def fits(results: Results, phases: list[dict[str, Any]], size: float) -> str | None:
    """Whether a step whose phases are given fits a card of `size` GiB; None where none knows."""
    memory = results.get("memory")
    if not memory:
        return None
    beside, total = memory["beside torch's"] / GIB, memory["total bytes"] / GIB
    if "failed" in results:
        return "no" if size <= total else None

    def most(kind: str) -> float:
        return beside + max(phase[kind] for phase in phases) / GIB

    if most("reserved bytes") <= size:
        return "yes"
    return "tight" if most("allocated bytes") <= size else "no"


def resume(units: dict[str, Results]) -> Iterator[Table]:
    """Two trainings left alone, and one that was killed and resumed, each against the first."""
    yield table(
        "Killed and resumed",
        ("training in", "against the first", "same bits", "max difference")
        + ("largest weight", "from step", "columns"),
        [
            [setting, compared]
            + picked(values[compared], "same bits", "max difference", "largest weight", "from step")
            + [", ".join(values[compared]["columns"])]
            for results in units.values()
            for setting, values in results.items()
            for compared in ("left alone twice", "killed and resumed")
            if compared in values
        ],
        *(
            f"{setting}: torch warned of {'; '.join(values['warned of'])}"
            for results in units.values()
            for setting, values in results.items()
            if values.get("warned of")
        ),
    )


def hotspots(units: dict[str, Results]) -> Iterator[Table]:
    """Where the time goes, and what would change it."""
    for name, results in units.items():
        plain = results.get("as it is", {}).get("seconds")
        for key, column in (("kinds", "kind"), ("operations", "operation"), ("kernels", "kernel")):
            found = results.get(key, {})
            whole = results.get("profile", {}).get("seconds") or 1
            yield table(
                f"{name}: prefix by {column}",
                (column, "s", "share"),
                [[label[:90], s, f"{s / whole:.0%}"] for label, s in list(found.items())[:MOST]],
                *([f"The device was busy for {results['profile']['busy']:.0%} of the wall time."]
                  if key == "kinds" and "profile" in results else []),
            )  # fmt: skip
        known = ("setting", "profile", "kinds", "operations", "kernels")
        yield table(
            f"{name}: prefix with one thing changed",
            ("changed", "s", "of as it is", "peak GiB", "max diff"),
            [
                [label, values["seconds"], values["seconds"] / plain]
                + [_gib(values["peak bytes"]), values.get("max diff")]
                for label, values in results.items()
                if label not in known and "seconds" in values and plain
            ],
        )


TABLES: dict[str, Callable[[dict[str, Results]], Iterator[Table]]] = {
    "exactness": exactness,
    "cost": cost,
    "step": step,
    "resume": resume,
    "hotspots": hotspots,
}


def table(title: str, columns: tuple[str, ...], rows: list[list[Any]], *notes: str) -> Table:
    """A table of values of any kind."""
    cells = [[Cell(show(value)) for value in row] for row in rows]
    return Table("", title, list(columns), cells, pd.DataFrame(), [Note(text) for text in notes])


def picked(values: dict[str, Any], *names: str) -> list[Any]:
    return [values.get(name) for name in names]


def show(value: Any) -> str:
    """A value as a cell has it; a dash for None."""
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
