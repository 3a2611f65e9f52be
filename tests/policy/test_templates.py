"""Chat templates that read a clock or draw: found by what they render, fixed to a day, refused."""

import datetime
import inspect

import pytest
from killed import set_clock
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

from cfdapo.files import UserError
from cfdapo.policy.generation import encode_prompts
from cfdapo.policy.templates import MOMENTS, fix_day, require_steady
from cfdapo.study import load_document
from cfdapo.study_conflicts import NOT_THE_TEMPLATES

ASKED = "{% for message in messages %}{{ message.content }}{% endfor %}"
# As those of Llama-3.2, gpt-oss and Mistral Small, and others whose date is a variable.
LLAMA = (
    "{{- bos_token }}\n{%- if not date_string is defined %}\n    {%- if strftime_now is defined %}"
    '{%- set date_string = strftime_now("%d %b %Y") %}\n    {%- else %}\n        '
    '{%- set date_string = "26 Jul 2024" %}\n    {%- endif %}\n{%- endif %}\n'
    '{{- "Today Date: " + date_string + "\\n\\n" }}' + ASKED
)
GPT_OSS = (
    '{%- macro system() -%}\n{{- "Current date: " + strftime_now("%Y-%m-%d") }}{%- endmacro -%}\n'
    "{{- system() }}" + ASKED
)
MISTRAL = '{%- set today = strftime_now("%Y-%m-%d") %}\n{{ "The date is " + today }}' + ASKED
EAGER = '{{ current_day | default(strftime_now("%B %-d, %Y")) }}' + ASKED
ALIAS = '{% set clock = strftime_now %}{% if now is not defined %}{% set now = clock("%c") %}'
ALIAS += "{% endif %}{{ now }}" + ASKED
CLOCKS = {
    "llama": (LLAMA, 'chat_template_kwargs: {date_string: "26 Jul 2024"}'),
    "eager": (EAGER, 'chat_template_kwargs: {current_day: "26 Jul 2024"}'),
    "alias": (ALIAS, 'chat_template_kwargs: {now: "26 Jul 2024"}'),
    "gpt-oss": (GPT_OSS, 'chat_template_date: "2024-07-26"'),
    "mistral": (MISTRAL, 'chat_template_date: "2024-07-26"'),
    # No two days' prompts need differ.
    "weekday": ('{% if strftime_now("%A") == "Friday" %}Nearly done!{% endif %}' + ASKED, "_date"),
    "hour": ('{% if strftime_now("%H") | int > 22 %}Good night.{% endif %}' + ASKED, "_date"),
    "year": ('{{ "old" if strftime_now("%Y") | int > 2030 }}' + ASKED, "_date"),
    "christmas": ('{% if strftime_now("%d %b") == "25 Dec" %}Ho ho!{% endif %}' + ASKED, "_date"),
    "friday 13": (
        '{% set day = namespace(is="") %}{% for format in ["%A", " %d"] %}'
        "{% set day.is = day.is ~ strftime_now(format) %}{% endfor %}"
        '{{ "Take care." if day.is == "Friday 13" }}' + ASKED,
        "_date",
    ),
    # It asks for the time only in some conversations.
    "asked": (
        '{{ tone }}{{ strftime_now("%H:%M") if "time" in messages[0].content }}' + ASKED,
        "_date",
    ),
}


def tokenizer_with(template) -> PreTrainedTokenizerFast:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), bos_token="<s>")
    tokenizer.chat_template = template
    tokenizer.name_or_path = "somebody/model"
    return tokenizer


def conversation(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


CONVERSATIONS = [conversation("How many?"), conversation("What time is it?")]


@pytest.fixture
def on():
    """Sets the day that transformers' clock shows."""
    before = chat_template_utils.datetime
    yield set_clock
    chat_template_utils.datetime = before


def rendered(tokenizer, **chat) -> list[str]:
    return [
        tokenizer.apply_chat_template(one, add_generation_prompt=True, tokenize=False, **chat)
        for one in CONVERSATIONS
    ]


@pytest.mark.parametrize("name", CLOCKS)
def test_a_template_that_reads_a_clock_is_refused_with_the_key_that_fixes_it(name, on):
    template, key = CLOCKS[name]
    with pytest.raises(UserError, match="somebody/model: .*reads a clock.*depend on the day") as e:
        encode_prompts(tokenizer_with(template), CONVERSATIONS, {})
    assert key in str(e.value)
    if "kwargs" in key:
        variable = key.split("{")[1].split(":")[0]
        chat, tokenizer = {variable: "1 Jan 2020"}, tokenizer_with(template)
    else:
        chat, tokenizer = {}, tokenizer_with(template)
        fix_day(tokenizer, "2020-01-01")
    encode_prompts(tokenizer, CONVERSATIONS, chat)
    found = set()
    for day in (
        *MOMENTS[::61],
        datetime.datetime(2026, 11, 13, 23),
        datetime.datetime(2026, 12, 25),
    ):
        on(day)
        found.add(tuple(rendered(tokenizer, **chat)))
    assert len(found) == 1


@pytest.mark.parametrize("name", CLOCKS)
def test_a_fixed_day_is_rendered_as_transformers_would_on_that_day(name, on):
    """To the character: also line ends and spaces before the template's first tag."""
    for before in ("", "\n", "\n\n  ", "  "):
        tokenizer = tokenizer_with(before + CLOCKS[name][0])
        on(datetime.datetime(2024, 2, 3))
        expected = rendered(tokenizer)
        on(datetime.datetime(2031, 12, 30, 23, 59))
        fix_day(tokenizer, "2024-02-03")
        assert rendered(tokenizer) == expected


@pytest.mark.parametrize("moment", MOMENTS[::71])
def test_every_directive_of_a_fixed_clock_is_strftime_s(moment, on):
    formats = [f"%{flag}{letter}" for flag in ("", "-") for letter in "aAbBcdDeFHIjmMnpSuUVwWxXyYZ"]
    wanted = " | ".join([*formats, "100%%", "%%d", "%%%d", '"', "'"])
    chosen = moment.replace(hour=0, minute=0, second=0)
    template = "{{ strftime_now(wanted) }}"
    tokenizer = tokenizer_with(template)
    on(chosen)
    expected = rendered(tokenizer, wanted=wanted)
    fix_day(tokenizer, chosen.date().isoformat())
    on(MOMENTS[3])
    assert rendered(tokenizer, wanted=wanted) == expected
    assert chosen.strftime("%d %-d %%d") in rendered(tokenizer, wanted="%d %-d %%d")


def test_a_directive_that_no_fixed_clock_can_show_is_refused():
    tokenizer = tokenizer_with("{{ strftime_now('%s') }}")
    fix_day(tokenizer, "2024-07-26")
    with pytest.raises(UserError, match=r"cannot be used \(strftime_now does not know %s\)"):
        encode_prompts(tokenizer, CONVERSATIONS, {})


@pytest.mark.parametrize(
    "template",
    ['{{ ["Well, ", ""] | random }}' + ASKED, "{{ lipsum(1) }}" + ASKED],
    ids=["random", "lipsum"],
)
def test_a_template_that_draws_is_refused_and_the_generator_is_left_alone(template):
    import random

    random.seed(5)
    expected = random.random()
    random.seed(5)
    with pytest.raises(UserError, match="somebody/model: .*draws at random"):
        encode_prompts(tokenizer_with(template), CONVERSATIONS, {})
    assert random.random() == expected


def test_the_paper_s_study_fixes_the_date_of_llama():
    chat = load_document("paper")["models"]["llama3.2-3b"]["chat_template_kwargs"]
    require_steady(tokenizer_with(LLAMA), chat=chat)
    assert "Today Date: 26 Jul 2024" in rendered(tokenizer_with(LLAMA), **chat)[0]


def test_what_only_speaks_of_the_clock_is_no_clock():
    """The time that nobody sees, a variable of that name, and random as a word."""
    for template in (
        "{% set today = strftime_now('%d') %}" + ASKED,
        "Pick no random numbers. " + ASKED,
        "{% if false %}{{ strftime_now('%d') }}{% endif %}" + ASKED,
    ):
        require_steady(tokenizer_with(template))


def test_a_tokenizer_with_several_templates_has_all_of_them_fixed():
    tokenizer = tokenizer_with({"default": LLAMA, "tool_use": MISTRAL})
    with pytest.raises(UserError, match="reads a clock"):
        require_steady(tokenizer)
    fix_day(tokenizer, "2024-07-26")
    require_steady(tokenizer)
    assert "Today Date: 26 Jul 2024" in rendered(tokenizer)[0]
    assert "The date is 2024-07-26" in rendered(tokenizer, tools=[{}])[0]


@pytest.mark.parametrize(
    ("template", "chat", "reason"),
    [
        (None, {}, "chat_template is not set"),
        ("{{ raise_exception('a system message is needed') }}", {}, "a system message is needed"),
        (LLAMA, {"date_string": 26}, "can only concatenate str"),
    ],
)
def test_a_template_that_fails_is_an_error_that_names_the_model(template, chat, reason):
    with pytest.raises(UserError, match=f"somebody/model: its chat template cannot .*{reason}"):
        encode_prompts(tokenizer_with(template), CONVERSATIONS, chat)


def test_moments_have_every_day_of_a_year_weekday_and_hour():
    assert len({(moment.month, moment.day) for moment in MOMENTS}) == 366
    assert {moment.hour for moment in MOMENTS} == set(range(24))
    assert {moment.year for moment in MOMENTS} == {1904 + 400 * i for i in range(20)}
    assert len({moment.weekday() for moment in MOMENTS}) == 7


def test_templates_have_no_other_clock():
    """What a new version of transformers or jinja gives templates would be looked at first."""
    environment = chat_template_utils._compile_jinja_template("").environment
    assert set(environment.globals) == {
        *("range", "dict", "lipsum", "cycler", "joiner", "namespace"),
        *("raise_exception", "strftime_now"),
    }


def test_what_is_not_the_template_s_is_known_by_name():
    parameters = set(inspect.signature(PreTrainedTokenizerBase.apply_chat_template).parameters)
    # These only add to what a template is given, in training and evaluation alike.
    own = {"self", "documents", "sanitize_control_tokens", "kwargs"}
    assert set(NOT_THE_TEMPLATES) == parameters - own
