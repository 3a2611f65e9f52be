"""Tell what a completion answers from what it only thinks."""

import re

# What thinking is called in tags: by Qwen, DeepSeek and most others, by recipes of reinforcement
# learning that ask for <reasoning>, and by Seed-OSS, whose tags have a prefix.
_NAMES = (
    "(?:seed:)?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|scratchpad|analysis"
    "|inner_(?:monologue|thoughts?))"
)
_INSIDE = r"(?:\s[^<>\n]{0,40})?"
# Beside them those of Magistral, Kimi, Sky-T1, Command and MedGemma, and the channels of gpt-oss,
# with their special tokens or as what is left where a decoder drops these.
_TAG = re.compile(
    rf"""(?=[<\[◁aA])(?:  # most characters begin no tag
      (?P<open><\|?\s?{_NAMES}{_INSIDE}\|?>|\[(?:THINK|REASONING)\]|◁think▷
        |<\|begin_of_thought\|>|<\|START_THINKING\|>|<unused94>thought\b
        |<\|channel\|>(?:analysis|commentary)\b|\Aanalysis(?-i:(?=[A-Z])))
    | <(?:\|/|/\|?)\s?{_NAMES}\s?\|?>|\[/(?:THINK|REASONING)\]|◁/think▷
    | <\|end_of_thought\|>|<\|END_THINKING\|>|<unused95>
    | <\|channel\|>final<\|message\|>|\bassistantfinal|(?<=[.!?\s])assistantfinal)""",
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
