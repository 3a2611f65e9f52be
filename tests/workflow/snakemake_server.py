"""A process that has imported Snakemake, and is `python -m snakemake` in a fork for each call.

Importing Snakemake takes longer than most dry runs, of which the tests make many. Nothing of this
project is imported here, nor a task of Snakemake's begun: copies of the workflow bring code of
their own. Run as a program it takes a line of JSON a call and answers with a line of its exit code;
it ends when its standard input does, also where the tests are killed.
"""

import gc
import importlib
import json
import os
import runpy
import sys

# The last three only once it reads a workflow.
PRELOADED = ("snakemake.cli", "snakemake.workflow", "snakemake.dag")
PRELOADED += ("snakemake.report.html_reporter", "smart_open", "jsonschema")
HERE = os.getcwd()


def serve() -> None:
    """Be `python -m snakemake` in a fork for each line of standard input."""
    answers = os.fdopen(os.dup(1), "w")
    while line := sys.stdin.readline():
        call = json.loads(line)
        child = os.fork()
        if not child:
            become(**call)
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


def become(arguments: list[str], cwd: str, variables: dict[str, str], said: list[str]) -> None:
    """Snakemake in folder `cwd`, with the environment `variables`, writing to two files."""
    for number, file in enumerate([os.devnull, *said]):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT if number else os.O_RDONLY), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(variables)
    sys.path.insert(0, cwd)  # as `-m` does
    # All that Snakemake keeps of the folder and variables that it was imported with.
    workflow = sys.modules["snakemake.workflow"].Workflow
    assert workflow._rundir == HERE
    workflow._rundir = os.getcwd()
    sys.argv = ["snakemake", *arguments]
    runpy.run_module("snakemake", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    for module in PRELOADED:
        importlib.import_module(module)
    # Collections in forks would copy all of it.
    gc.collect()
    gc.freeze()
    serve()
