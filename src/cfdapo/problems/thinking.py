"""Tell what a completion answers from what it only thinks."""

import re

# The tags of Qwen, DeepSeek and most others, and those of Magistral, Kimi, Seed-OSS and Sky-T1.
_TAG = re.compile(
    r"""(?=[<\[◁])(?:  # most characters begin no tag
      (?P<open><(?:seed:)?think(?:ing)?>|<thought>|\[THINK\]|◁think▷|<\|begin_of_thought\|>)
    | </(?:seed:)?think(?:ing)?>|</thought>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>)""",
    re.VERBOSE | re.IGNORECASE,
)


def outside_thinking(text: str) -> tuple[int, int]:
    """Characters [start, end) behind the last ``</think>``; all of a text without such a tag.

    Thinking that was begun and never ended, as where a completion was cut, lasts to the end of the
    text. Where the prompt itself ends in ``<think>``, as some chat templates do, a completion cut
    before its ``</think>`` has neither tag, and nothing here can tell it from an answer.
    """
    start, end = 0, len(text)
    for tag in _TAG.finditer(text):
        if tag["open"]:
            end = min(end, tag.start())
        else:
            start, end = tag.end(), len(text)
    return start, end
