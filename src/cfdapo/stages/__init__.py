"""One small script a rule: `python -m cfdapo.stages.train --help`."""

import sys
from collections.abc import Callable

from cfdapo.files import NO_ROOM, UserError, cannot_write


def run(main: Callable[[], None]) -> None:
    """Call a stage's main; what the user can mend is printed without a traceback, exit code 2."""
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
