"""GSM8K is loaded whole, checked against the real data set, and its solutions are taken apart."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import cfdapo
from cfdapo.files import UserError, read_jsonl, write_jsonl
from cfdapo.problems import gsm8k
from cfdapo.problems.answers import is_correct, normalise

SOURCE = str(Path(cfdapo.__file__).parents[1])
NATALIA = (
    "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\n"
    "That is not all.\n"
    "Natalia sold 48+24 = <<48+24=72>>72 clips altogether in April and May.\n"
    "#### 72"
)


@pytest.fixture(scope="module")
def real_folder() -> Path:
    folder = os.environ.get(gsm8k.DATA_VARIABLE)
    if not folder:
        pytest.skip(f"{gsm8k.DATA_VARIABLE} names no folder with the real GSM8K")
    return Path(folder)


@pytest.fixture(scope="module")
def real_rows(real_folder: Path) -> dict[str, list[dict[str, str]]]:
    return {split: gsm8k.load(split, real_folder) for split in gsm8k.SPLITS}


@pytest.fixture
def copied_test_split(real_folder: Path, tmp_path: Path) -> Path:
    source = real_folder / "gsm8k" / "test.jsonl"
    copy = tmp_path / "test.jsonl"
    copy.write_bytes(source.read_bytes())
    return copy


def test_both_splits_are_whole(real_rows: dict[str, list[dict[str, str]]]) -> None:
    assert [len(real_rows[split]) for split in ("train", "test")] == [7473, 1319]
    assert real_rows["train"][0]["id"] == "gsm8k-train-0"
    assert real_rows["test"][17]["id"] == "gsm8k-test-17"
    ids = [row["id"] for rows in real_rows.values() for row in rows]
    assert len(set(ids)) == 8792


def test_row_has_the_schema(real_rows: dict[str, list[dict[str, str]]]) -> None:
    row = real_rows["train"][0]
    assert set(row) == {"id", "question", "answer", "solution"}
    assert row["question"].startswith("Natalia sold clips to 48 of her friends")
    assert row["answer"] == "72"
    assert row["solution"].endswith("\n#### 72")


def test_every_gold_answer_is_one_integer(real_rows: dict[str, list[dict[str, str]]]) -> None:
    for rows in real_rows.values():
        for row in rows:
            assert str(int(row["answer"])) == row["answer"], row["id"]
            assert is_correct(row["solution"], row["answer"]), row["id"]


def test_every_mark_of_the_data_set_is_found(real_rows: dict[str, list[dict[str, str]]]) -> None:
    for rows in real_rows.values():
        for row in rows:
            solution = row["solution"]
            marks = gsm8k.calculator_marks(solution)
            assert len(marks) == solution.count("\n") + 1
            assert sum(map(len, marks)) == solution.count("<<") == solution.count(">>")
            assert "<<" not in gsm8k.strip_marks(solution)
            for mark in (mark for line in marks for mark in line):
                assert mark.expression
                assert any(character.isdigit() for character in normalise(mark.result))


def test_loading_order_is_path_then_environment(
    real_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(gsm8k.DATA_VARIABLE, str(tmp_path / "absent"))
    nested = gsm8k.load("test", real_folder)
    flat = gsm8k.load("test", real_folder / "gsm8k")
    monkeypatch.setenv(gsm8k.DATA_VARIABLE, str(real_folder))
    assert nested == flat == gsm8k.load("test")


def test_hash_is_the_same_for_jsonl_and_parquet(real_folder: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    records = read_jsonl(real_folder / "gsm8k" / "test.jsonl")
    parquet = tmp_path / "test.parquet"
    datasets.Dataset.from_list(records).to_parquet(parquet)
    loaded = datasets.Dataset.from_parquet(str(parquet), cache_dir=str(tmp_path / "cache"))
    assert gsm8k.content_hash(loaded.to_list()) == gsm8k.SPLITS["test"].sha256


def test_hash_depends_on_every_character_and_on_the_order() -> None:
    one, two = {"question": "a", "answer": "b"}, {"question": "ab", "answer": ""}
    assert gsm8k.content_hash([one]) != gsm8k.content_hash([two])
    assert gsm8k.content_hash([one, two]) != gsm8k.content_hash([two, one])
    assert gsm8k.content_hash([one]) == gsm8k.content_hash([{"answer": "b", "question": "a"}])


def test_changed_byte_is_named_with_file_and_both_hashes(copied_test_split: Path) -> None:
    text = copied_test_split.read_bytes()
    copied_test_split.write_bytes(text.replace(b"16 eggs", b"17 eggs", 1))
    found = gsm8k.content_hash(read_jsonl(copied_test_split))
    with pytest.raises(UserError, match="byte has changed") as caught:
        gsm8k.load("test", copied_test_split.parent)
    for part in (str(copied_test_split), gsm8k.SPLITS["test"].sha256, found):
        assert part in str(caught.value)


def test_missing_row_is_counted(copied_test_split: Path) -> None:
    write_jsonl(copied_test_split, read_jsonl(copied_test_split)[:-1])
    with pytest.raises(UserError, match=r"test\.jsonl.* 1,319 rows, found 1,318"):
        gsm8k.load("test", copied_test_split.parent)


@pytest.mark.parametrize("row", [{"question": "How many?"}, {"question": 1, "answer": "1"}, [1]])
def test_row_without_text_is_named(tmp_path: Path, row: object) -> None:
    good = {"question": "How many?", "answer": "#### 1"}
    (tmp_path / "test.jsonl").write_text(f"{json.dumps(good)}\n{json.dumps(row)}\n")
    with pytest.raises(
        UserError, match=r"test\.jsonl, (row 2: no text under|line 2: is no JSON object)"
    ):
        gsm8k.load("test", tmp_path)


def test_broken_json_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text('{"question": ')
    with pytest.raises(UserError, match=r"test\.jsonl, line 1"):
        gsm8k.load("test", tmp_path)


def test_unknown_split_lists_the_allowed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'validation'.*allowed: train, test"):
        gsm8k.load("validation", tmp_path)


def test_missing_folder_says_who_named_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="absent: no such folder .named by the path given"):
        gsm8k.load("train", tmp_path / "absent")
    monkeypatch.setenv(gsm8k.DATA_VARIABLE, str(tmp_path / "absent"))
    with pytest.raises(UserError, match=r"absent: no such folder .named by \$CFDAPO_DATA"):
        gsm8k.load("train")


def test_missing_file_lists_both_places(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        gsm8k.load("train", tmp_path)
    assert str(tmp_path / "gsm8k" / "train.jsonl") in str(caught.value)
    assert str(tmp_path / "train.jsonl") in str(caught.value)


def test_unreachable_hub_is_a_user_error(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    # A process of its own: the hub's client reads these settings when it is imported.
    environment = {key: value for key, value in os.environ.items() if key != gsm8k.DATA_VARIABLE}
    environment |= {"PYTHONPATH": SOURCE, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    program = (
        "from cfdapo.files import UserError\n"
        "from cfdapo.problems import gsm8k\n"
        "try:\n"
        "    gsm8k.load('test', revision='abc')\n"
        "except UserError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60
    )
    assert "openai/gsm8k (revision abc): cannot be loaded from the hub" in done.stdout, done.stderr
    assert gsm8k.DATA_VARIABLE in done.stdout


def test_module_does_not_import_datasets() -> None:
    program = "import sys, cfdapo.problems.gsm8k; print('datasets' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": SOURCE}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "False\n", done.stderr


def test_marks_are_stripped_and_read_line_by_line() -> None:
    assert gsm8k.strip_marks(NATALIA).startswith("Natalia sold 48/2 = 24 clips in May.\n")
    assert gsm8k.calculator_marks(NATALIA) == [
        [gsm8k.CalculatorMark("48/2", "24")],
        [],
        [gsm8k.CalculatorMark("48+24", "72")],
        [],
    ]


def test_two_marks_in_a_line_and_text_without_marks() -> None:
    line = "He pays 2*3=<<2*3=6>>6 and 6/4=$<<6/4=1.5>>1.5"
    assert gsm8k.calculator_marks(line) == [[("2*3", "6"), ("6/4", "1.5")]]
    assert gsm8k.strip_marks(line) == "He pays 2*3=6 and 6/4=$1.5"
    assert gsm8k.strip_marks("3 < 5 << 9 = 9 >> 2") == "3 < 5  2"
    assert gsm8k.strip_marks("a << b") == "a << b"


@pytest.mark.parametrize(
    ("solution", "gold"),
    [(NATALIA, "72"), ("#### 1,080", "1080"), ("a #### 1\n#### -5", "-5"), ("####  2.50 ", "2.5")],
)
def test_gold_answer(solution: str, gold: str) -> None:
    assert gsm8k.gold_answer(solution) == gold


@pytest.mark.parametrize("solution", ["", "The answer is 72", "####", "72\n#### "])
def test_solution_without_gold_answer_is_refused(solution: str) -> None:
    with pytest.raises(ValueError, match="####"):
        gsm8k.gold_answer(solution)
