"""What a study found in a few lines, and which of its files to open."""

from types import SimpleNamespace

import pytest
from docutils.core import publish_string
from jinja2 import Environment

from cfdapo.files import UserError
from cfdapo.stages.summary import found, to_open
from cfdapo.study import ROOT

ACCURACY = "label,model,mode,mean,std,seeds,unit,step,problems\n"
TESTS = "label,model,treatment,baseline,metric,difference,p,seeds,reason\n"


def write(folder, accuracy: str, tests: str) -> None:
    (folder / "tables").mkdir(exist_ok=True)
    (folder / "tables" / "table1_accuracy.csv").write_text(ACCURACY + accuracy)
    (folder / "tables" / "table3_significance.csv").write_text(TESTS + tests)


def test_of_one_seed_no_winner_is_named(tmp_path):
    write(
        tmp_path,
        "Q-tiny,t,counterfactual,10.0,,1,%,4,50\nQ-tiny,t,vanilla,12.5,,1,%,4,50\n",
        "Q-tiny,t,counterfactual,vanilla,accuracy,-2.5,,1,one seed\n"
        "Q-tiny,t,counterfactual,vanilla,auc,-1.5,,1,one seed\n",
    )
    assert found(tmp_path) == [
        "Q-tiny at step 4, mean of 1 seed on 50 problems: CF 10.0 %, DAPO 12.5 %.",
        "Q-tiny: CF less DAPO is −2.5 points in one seed, which does not tell which of them is "
        "better.",
    ]


@pytest.mark.parametrize("sentences", [[], ["one"], ["one", "two, with a \\\\* in it"]])
def test_the_reports_first_page_is_valid_text(sentences):
    """Rendered as Snakemake's reports do it; what docutils would complain of is an error."""
    text = (ROOT / "workflow" / "report" / "workflow.rst").read_text()
    config = SimpleNamespace(config={"study": "tiny", "found": sentences})
    page = Environment(trim_blocks=True, lstrip_blocks=True).from_string(text)
    publish_string(page.render(snakemake=config), settings_overrides={"halt_level": 2})


@pytest.mark.parametrize(
    ("p", "said"),
    [
        ("0.2", "(paired t-test, p = 0.200, so the two are not told apart)."),
        ("0.00001", "(paired t-test, p < 0.001)."),
        ("", "; no test: equal values in every seed."),
    ],
)
def test_of_several_seeds_the_test_is_told(tmp_path, p, said):
    write(
        tmp_path,
        "Tiny,t,mine,10.0,1,3,%,4,50\nTiny,t,vanilla,12.5,1,2,%,4,50\n",
        f"Tiny,t,counterfactual,vanilla,accuracy,1.25,{p},3,equal values in every seed\n",
    )
    sentences = found(tmp_path)
    assert sentences[0].startswith("Tiny at step 4, mean of 2 to 3 seeds on 50 problems: mine 10.0")
    assert sentences[1].startswith("Tiny: CF less DAPO is +1.2 points over 3 seeds")
    assert sentences[1].endswith(said)


def test_what_was_found_on_further_test_sets_comes_last(tmp_path):
    write(tmp_path, "Q-tiny,t,vanilla,12.5,,1,%,4,50\n", "")
    (tmp_path / "sets/more").mkdir(parents=True)
    write(tmp_path / "sets/more", "Q-tiny,t,vanilla,7.5,,1,%,4,8\n", "")
    assert found(tmp_path) == [
        "Q-tiny at step 4, mean of 1 seed on 50 problems: DAPO 12.5 %.",
        "On test set more, Q-tiny at step 4, mean of 1 seed on 8 problems: DAPO 7.5 %.",
    ]


def test_without_tables_nothing_is_found_and_nothing_to_open(tmp_path):
    assert found(tmp_path) == []
    with pytest.raises(UserError, match="has no tables yet; make status"):
        to_open(tmp_path)


def test_three_lines_name_files_to_open(tmp_path):
    for name in ("tables/table1_accuracy.html", "figures/credit_map_tiny.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    lines = to_open(tmp_path)
    assert len(lines) == 3 and "credit_map_tiny.html" in lines[1]
    assert lines[0].startswith(f"open {tmp_path}/tables/table1_accuracy.html: ")
    assert lines[2].startswith(f"make report STUDY={tmp_path.name}: ")
