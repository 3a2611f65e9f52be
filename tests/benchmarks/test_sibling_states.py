"""States of real solutions by four models: shared by siblings, and worth more than their mean."""

from sibling_states import FILE, measure

from cfdapo.files import read_jsonl


def test_a_state_tells_more_of_a_real_solution_than_its_siblings_mean(data_folder):
    """On a third of the problems at hand, so that it takes a second or two."""
    found = measure(read_jsonl(data_folder / FILE)[::3])
    assert found["solutions"] >= 800
    assert 0.65 < found["first state shared"] < 0.82
    assert 0.45 < found["second state shared"] < 0.63
    assert 0.65 < found["AUROC: siblings' mean"].value < 0.85
    # After the first calculation little is decided; after the last one it is.
    assert found["first - mean"].low > -0.04 and found["last - mean"].low > 0.02
    # `departure` takes a right solution's own way for a mistake in some, and has where to begin.
    assert 0.08 < found["right, own way"] < 0.22
    assert 0.4 < found["wrong, begun as a right one"] < 0.6
