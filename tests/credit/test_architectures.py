"""Every family of causal language models is measured exactly, or refused: the table of the docs."""

import pytest
from families import DOCUMENT, FAMILIES, measured, table, written

# Seen: 2e-5 at most, beside drops of up to 5 nats.
EXACT = 1e-4


@pytest.mark.parametrize("name", FAMILIES)
def test_drops_are_those_of_whole_sequences_put_together_by_hand(name):
    found = measured(name)
    assert {"prefix", "serial"} <= found.differences.keys()
    assert max(found.differences.values()) < EXACT
    assert found.largest > 100 * EXACT
    assert bool(found.reason) == (found.way != "packed")


def test_the_table_in_the_docs_is_what_is_measured():
    assert written(DOCUMENT.read_text(encoding="utf-8")) == table()
