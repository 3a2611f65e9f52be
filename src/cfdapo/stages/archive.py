"""Pack a study's records with their checksums, and verify them: tables without anybody's weights.

python -m cfdapo.stages.archive pack --results results/paper --out results/paper.tar.gz
python -m cfdapo.stages.archive verify --results results/paper
"""

import argparse
import gzip
import io
import sys
import tarfile
from pathlib import Path
from typing import IO

from cfdapo import checksums
from cfdapo.files import UserError, atomic_stream, atomic_write, read_json, sha256_of
from cfdapo.own_code import sources
from cfdapo.provenance import rule_hash
from cfdapo.stages import run
from cfdapo.study import ROOT

# What tables and figures are made from, and where it came from; beside each stands its checksum.
# Left out: adapters, trainer state, weights, and the problems themselves, which the manifest
# identifies.
RECORDS = (
    "runs/*/*/*/evaluation.jsonl",
    "runs/*/*/*/history.jsonl",
    "runs/*/*/*/run.json",
    "credit/*.jsonl",
    "overhead/*.json",
    "evolution/*/generation*.json",
    "statistics/*.csv",
    "data/manifest.json",
    "sets/*/runs/*/*/*/evaluation.jsonl",
    "sets/*/statistics/*.csv",
    "sets/*/data/manifest.json",
)
# It is itself the list of a model's checksums.
MANIFESTS = "models/*/manifest.json"
PARTIAL = ".partial.jsonl"
NEEDED = ("evaluation.jsonl", "history.jsonl", "run.json")
_OLDER = "an archive of an older version, so make its tables with the commit in run.json"
SUMS, STUDY = "SHA256SUMS", "study.yaml"
# Below the results: the code of one's own that the study's records name, to be read by others.
OWN = "own"
# 1 January 1980: a fixed time, so that equal records are an equal archive, and older than any
# clone, so that Snakemake makes everything that can be made from the records anew.
TIME = 315532800


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="pack the records, with their checksums")
    packing.add_argument("--results", type=Path, required=True, help="the study's results folder")
    packing.add_argument("--out", type=Path, required=True, help="the archive, .tar.gz")
    verifying = commands.add_parser("verify", help="check unpacked records by their checksums")
    verifying.add_argument("--results", type=Path, required=True, help="the unpacked folder")
    given = parser.parse_args()
    if given.command == "pack":
        files = pack(given.results, given.out)
        print(f"{given.out}: {len(files)} files, sha256 {sha256_of(given.out)}")
    else:
        print(f"{given.results}: {len(verify(given.results))} files are as they were packed")


def pack(results: Path, out: Path) -> list[Path]:
    """Pack the records of the folder `results` into `out`; returns them, relative to the folder.

    The archive unpacks to results/{study}/ with the checksums in SHA256SUMS (which `sha256sum -c`
    reads), the study's configuration in study.yaml, and code of one's own in own/, where that is
    still what the records were made with; else stderr says so. Equal records make an equal archive.

    Raises:
        UserError: there are no runs, some lack a record (all are named), or a record is damaged or
            has no checksum.
    """
    _require_whole_runs(results)
    _write_study(results)
    sums = {path: checksums.check(path).sha256 for path in _records(results)}
    others = [*map(checksums.beside, sums), *results.glob(MANIFESTS), results / STUDY]
    others += _write_own_code(results)
    sums |= {path: sha256_of(path) for path in others if path.is_file()}
    files = sorted(sums)
    lines = [f"{sums[path]}  {path.relative_to(results).as_posix()}\n" for path in files]
    atomic_write(results / SUMS, "".join(lines))
    with (
        atomic_stream(out) as stream,
        # Neither a time nor the file's name, which gzip would keep in its header.
        gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as packed,
        tarfile.open(mode="w", fileobj=packed, format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in [results / SUMS, *files]:
            with open(path, "rb") as content:
                name = f"results/{results.name}/{path.relative_to(results).as_posix()}"
                _add(archive, name, content, path.stat().st_size)
    return [path.relative_to(results) for path in files]


def _records(results: Path) -> list[Path]:
    found = {path for pattern in RECORDS for path in results.glob(pattern)}
    return sorted(p for p in found if not p.name.endswith((checksums.ENDING, PARTIAL)))


def _require_whole_runs(results: Path) -> None:
    runs = sorted(path for path in results.glob("runs/*/*/*") if path.is_dir())
    if not runs:
        raise UserError(f"{results}: has no runs; an archive is packed from a study that has run")
    needed = [run / name for run in runs for name in NEEDED]
    for test_set in sorted(path.parents[1] for path in results.glob("sets/*/data/manifest.json")):
        needed += [test_set / run.relative_to(results) / "evaluation.jsonl" for run in runs]
    absent = [str(path) for path in needed if not path.is_file()]
    if absent:
        raise UserError(f"missing records, of runs that are not finished: {', '.join(absent)}")


def _write_study(results: Path) -> None:
    """Keep the study's configuration with its results, for those who have no such file."""
    source = ROOT / "config" / "studies" / f"{results.resolve().name}.yaml"
    if source.is_file():
        atomic_write(results / STUDY, source.read_bytes())


def _write_own_code(results: Path) -> list[Path]:
    """Keep the code of one's own that the records were made with; returns its files."""
    made_with = {
        (name, found)
        for run in results.glob("runs/*/*/*/run.json")
        for name, found in _own_hashes(run).items()
    }
    files: dict[Path, Path] = {}
    for name, found in sorted(made_with):
        try:
            if rule_hash(name) != found:
                raise UserError(f"{name}: is not what runs of it were made with")
            for module, path in sources(name).items():
                inside = Path(*module.split("."))
                init = path.name == "__init__.py"
                files[inside / path.name if init else inside.with_suffix(".py")] = path
        except UserError as error:
            print(f"warning: code of one's own is not packed: {error}", file=sys.stderr)
    for place, path in files.items():
        (results / OWN / place).parent.mkdir(parents=True, exist_ok=True)
        atomic_write(results / OWN / place, path.read_bytes())
    return [results / OWN / place for place in files]


def _own_hashes(run: Path) -> dict[str, str]:
    """Path -> hash of the code of one's own that a run's record names."""
    origin = read_json(run).get("origin")
    own = origin.get("own") if isinstance(origin, dict) else None
    return own if isinstance(own, dict) else {}


def _add(archive: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    """Add a file with no trace of whose it was or when it was written."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = size, TIME, 0o644
    archive.addfile(entry, content)


def verify(results: Path) -> list[str]:
    """Compare the files of the folder `results` with its SHA256SUMS; returns their names.

    Raises:
        UserError: no SHA256SUMS, a torn line in it, or files that are missing, changed or, among
            what counts as a record, not listed or without a checksum; all are named.
    """
    sums = _read_sums(results / SUMS)
    found = []
    for name, expected in sums.items():
        path = results / name
        if not path.is_file():
            found.append(f"{name}: missing")
        elif sha256_of(path) != expected:
            found.append(f"{name}: changed")
    for path in _records(results):
        name = path.relative_to(results).as_posix()
        if name not in sums:
            found.append(f"{name}: not in {SUMS}")
        elif checksums.beside(path).relative_to(results).as_posix() not in sums:
            found.append(f"{name}: its checksum is not in {SUMS}; {_OLDER}")
    if found:
        raise UserError("\n".join([f"{results}: not the records that were packed", *found]))
    return list(sums)


def _read_sums(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise UserError(f"{path}: cannot be read; unpack an archive first (tar -xzf)")
    sums = {}
    for number, line in enumerate(io.StringIO(path.read_text(encoding="utf-8")), start=1):
        checksum, separator, name = line.rstrip("\n").partition("  ")
        if not separator or len(checksum) != 64:
            raise UserError(f"{path}, line {number}: not a checksum and a file")
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise UserError(f"{path}, line {number}: {name} lies outside the results")
        sums[name] = checksum
    return sums


if __name__ == "__main__":
    run(main)
