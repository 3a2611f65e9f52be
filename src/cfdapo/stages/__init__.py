"""One small script a rule: `python -m cfdapo.stages.train --help`."""

import json
import sys
from collections.abc import Callable

from cfdapo.files import NO_ROOM, UserError, cannot_write
from cfdapo.provenance import environment


def run(main: Callable[[], None]) -> None:
    """Call a stage's main, as `guarded`.

    The first line of its output, which the workflow keeps as the job's log, is where it ran:
    commit, sys.prefix and versions. Tables must not hold that, since they are the same anywhere.
    """

    def logged() -> None:
        if len(sys.argv) > 1 and not {"-h", "--help"} & set(sys.argv):
            print(f"environment: {json.dumps(environment())}", flush=True)
        main()

    guarded(logged)


def guarded(main: Callable[[], None]) -> None:
    """Call main; what the user can mend is printed without a traceback, exit code 2."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        print(f"error: {cannot_write(error.filename or 'a file', error)}", file=sys.stderr)
        sys.exit(2)
