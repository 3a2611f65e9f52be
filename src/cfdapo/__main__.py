"""The command `cfdapo`, or `python -m cfdapo`: without arguments it lists what it can do."""

import importlib
import sys
from collections.abc import Sequence

import cfdapo
from cfdapo.files import UserError

# Each is a module of `cfdapo.commands` with a `main` that takes the arguments behind its name.
COMMANDS = {
    "score": "drops and weights of completions by span, as text, JSON or a page; needs no study",
}
_REST = """\
In a checkout of the repository, Snakemake runs a study: make study, or
snakemake --cores all --config study=NAME. Its jobs are the scripts of cfdapo.stages, such as
python -m cfdapo.stages.train --help. In code: cfdapo.policy.trainer has CFDAPOTrainer, TRL's
trainer with credit, and cfdapo.credit has credit alone.
"""


def main(given: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name; what the user can mend is one line and code 2."""
    name, *rest = (sys.argv[1:] if given is None else list(given)) or ["--help"]
    if name in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if name == "--version":
        print(cfdapo.__version__)
        return 0
    try:
        if name not in COMMANDS:
            known = ", ".join(COMMANDS)
            raise UserError(f"cfdapo: unknown command {name!r}; there are: {known}, --version")
        importlib.import_module(f"cfdapo.commands.{name}").main(rest)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        where = error.filename or "the output"
        print(f"error: {where}: {error.strerror or error}", file=sys.stderr)
        return 2
    return 0


def _overview() -> str:
    commands = "\n".join(f"  cfdapo {name:<8}{what}" for name, what in COMMANDS.items())
    head = f"CF-DAPO {cfdapo.__version__}: which words of a solution earned its reward."
    parts = [head, commands, "cfdapo COMMAND --help tells its options.", _REST.rstrip()]
    return "\n\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
