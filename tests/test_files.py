"""Files that others read appear whole or not at all."""

import os

import pytest

from cfdapo.files import (
    UserError,
    append_stream,
    atomic_write,
    read_json,
    read_jsonl,
    write_json,
    write_jsonl,
)


def test_a_failed_write_leaves_the_old_file_and_no_temporary_one(tmp_path):
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [{"a": 1}])

    def rows():
        yield {"a": 2}
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError):
        write_jsonl(path, rows())
    assert read_jsonl(path) == [{"a": 1}]
    assert os.listdir(tmp_path) == ["rows.jsonl"]


def test_a_folder_in_the_way_is_an_error_and_nothing_is_left(tmp_path):
    (tmp_path / "taken" / "inside").mkdir(parents=True)
    with pytest.raises(OSError):
        atomic_write(tmp_path / "taken", "x")
    assert os.listdir(tmp_path) == ["taken"]


def test_written_files_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        atomic_write(tmp_path / "file", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_any_text_survives_a_line_of_json(tmp_path):
    rows = [{"text": "a\u2028b\x85c\n\r\x1c 😀"}, {"text": ""}]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    assert read_jsonl(tmp_path / "rows.jsonl") == rows


def test_half_a_character_is_named_with_its_line_and_a_byte_order_mark_is_none(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('\ufeff{"a": "\\ud83d\\ude00"}\n{"a": "\\ud83d"}')
    with pytest.raises(UserError, match="rows.jsonl, line 2: holds half of a surrogate pair"):
        read_jsonl(path)
    path.write_text('\ufeff{"a": "\\ud83d\\ude00"}')
    assert read_jsonl(path) == [{"a": "😀"}]


def test_torn_files_are_named_with_the_line(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n{"a": ')
    with pytest.raises(UserError, match=r"rows.jsonl, line 2: not valid JSON"):
        read_jsonl(tmp_path / "rows.jsonl")
    write_json(tmp_path / "whole.json", {"a": [1, 2]})
    assert read_json(tmp_path / "whole.json") == {"a": [1, 2]}
    (tmp_path / "whole.json").write_text("{")
    with pytest.raises(UserError, match=r"whole.json: not valid JSON"):
        read_json(tmp_path / "whole.json")


@pytest.mark.parametrize("text", ["[1, 2]", '"text"', "3", "null", "NaN"])
def test_what_is_no_object_is_named(tmp_path, text):
    (tmp_path / "whole.json").write_text(text)
    with pytest.raises(UserError, match=r"whole.json: is no JSON object but "):
        read_json(tmp_path / "whole.json")
    (tmp_path / "rows.jsonl").write_text(f'{{"a": 1}}\n{text}\n')
    with pytest.raises(UserError, match=r"rows.jsonl, line 2: is no JSON object but "):
        read_jsonl(tmp_path / "rows.jsonl")


def test_json_that_python_cannot_take_in_is_named(tmp_path):
    for text in ("[" * 100_000, "1" * 5000):
        (tmp_path / "whole.json").write_text(text)
        with pytest.raises(UserError, match=r"whole.json: not valid JSON"):
            read_json(tmp_path / "whole.json")


def test_half_of_a_surrogate_pair_is_no_text_and_a_whole_one_is(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": "\\ud83d\\ude00"}\n{"a": ["\\uD83D"]}\n')
    with pytest.raises(UserError, match="rows.jsonl, line 2: holds half of a surrogate pair"):
        read_jsonl(path)


def test_absent_and_binary_files_are_named(tmp_path):
    with pytest.raises(UserError, match="nothing.json: cannot be read"):
        read_json(tmp_path / "nothing.json")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="binary: not valid UTF-8"):
        read_jsonl(tmp_path / "binary")


def test_a_full_disk_names_the_file_that_is_appended_to(tmp_path):
    (tmp_path / "rows.jsonl").symlink_to("/dev/full")
    with (
        pytest.raises(UserError, match=r"rows.jsonl: cannot be written \(No space left"),
        append_stream(tmp_path / "rows.jsonl") as stream,
    ):
        stream.write("{}\n")
