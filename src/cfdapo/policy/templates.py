"""Chat templates whose prompts depend on the day or on chance: found, fixed to a date, refused."""

import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from cfdapo.files import UserError
from cfdapo.settings import ChatVariables, HubModel, LocalModel, ModelSettings

Conversation = Sequence[Mapping[str, str]]

# A template reads the time by transformers' `strftime_now` alone, and draws by jinja's filter
# `random` or its function `lipsum`. A name cannot be put together in a template.
_CLOCK = re.compile(r"\bstrftime_now\b")
_CHANCE = re.compile(r"\b(random|lipsum)\b")
# Every day of a leap year, weekday and hour is among them, as a template may wish a merry Christmas
# on one day alone; no year is before the first or after the last.
MOMENTS = tuple(
    datetime.combine(
        (date(1904, 1, 1) + timedelta(days=i)).replace(year=1904 + 400 * (i * 20 // 366)),
        time(7 * i % 24, 11 * i % 60, 13 * i % 60),
    )
    for i in range(366)
)
_SEEDS = range(31)
# What strftime knows, but for seconds since 1970; on Linux "-" leaves out the padding.
_LETTERS = "aAbBcCdDeFfgGhHIjklmMnpPrRStTuUVwWxXyYzZ"
_DIRECTIVES = [f"%{flag}{letter}" for flag in ("", "-") for letter in _LETTERS]
# The variable that tells a template with a moving clock what it shows.
_SHOWN = "cfdapo_shown"
_EXAMPLE = [{"role": "user", "content": "How many are 2 and 3?"}]
_EXAMPLE_DATE, _EXAMPLE_DAY = "26 Jul 2024", "2024-07-26"
_FILES = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json")


def with_clock(template: str, shown: str) -> str:
    """The chat template `template` with a clock that stands still.

    A macro takes the place of `strftime_now`; a format that strftime does not know is a
    TemplateError when it is used.

    Args:
        template: the template's text.
        shown: `at` of a moment as JSON, or the name of a variable that holds it.
    """
    # The template's own first line must stay the beginning of a line: jinja cuts the line's end
    # after a block.
    return (
        "{% macro strftime_now(format) %}{% set shown = namespace(text=format) %}"
        f"{{% for directive, text in {shown} %}}"
        "{% set shown.text = shown.text | replace(directive, text) %}{% endfor %}"
        '{% if "%" in shown.text %}{{ raise_exception("strftime_now does not know " ~ format) }}'
        '{% endif %}{{ shown.text | replace("\\u0000", "%") }}{% endmacro %}\n' + template
    )


def at(moment: datetime) -> list[tuple[str, str]]:
    """What strftime's directives show at `moment`, in the order in which they are replaced."""
    shown = [(directive, moment.strftime(directive)) for directive in _DIRECTIVES]
    # What is left of %% is no directive's beginning.
    return [("%%", "\0"), *((directive, text) for directive, text in shown if "%" not in text)]


def fix_day(tokenizer: Any, day: str) -> None:
    """Let the clock of the tokenizer's chat template show `day`, an ISO date, at midnight."""
    shown = json.dumps(at(datetime.combine(date.fromisoformat(day), time())))
    template = tokenizer.chat_template
    if isinstance(template, dict):
        fixed = {name: with_clock(text, shown) for name, text in template.items()}
        tokenizer.chat_template = fixed
    elif template is not None:
        tokenizer.chat_template = with_clock(template, shown)


@contextmanager
def naming_faults(name: str) -> Iterator[None]:
    """Turn what a chat template raises into a `UserError` that names whose template it is."""
    try:
        yield
    except (TemplateError, ValueError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{name}: its chat template cannot be used ({reason})") from error


def require_steady(
    tokenizer: Any,
    conversations: Sequence[Conversation] = (_EXAMPLE,),
    chat: ChatVariables | None = None,
    name: str | None = None,
) -> None:
    """Refuse a chat template that renders the conversations otherwise on another day, or by chance.

    The first is rendered at all of `MOMENTS`, the others at two. `chat` holds the template's
    variables. `name` says whose template it is; the tokenizer knows it otherwise.

    Raises:
        UserError: with the key of the model to set, where there is one.
    """
    name, chat = name or tokenizer.name_or_path, chat or {}
    with naming_faults(name):
        template = tokenizer.get_chat_template(chat.get("chat_template"))
    render = partial(_render, tokenizer, {**chat, "chat_template": with_clock(template, _SHOWN)})
    with _kept_random_state(), naming_faults(name):
        if _CHANCE.search(template) and _changing(render, "seed", conversations, _SEEDS):
            raise UserError(
                f"{name}: its chat template draws at random, so that no prompt need be the same "
                "twice; a model with such a template cannot be used"
            )
        if _CLOCK.search(template) and (
            changing := _changing(render, "moment", conversations, MOMENTS)
        ):
            raise UserError(
                f"{name}: its chat template reads a clock, so that prompts, and all that comes of "
                "them, depend on the day; set the model's "
                + _fixing_key(template, partial(render, changing))
            )


def _render(
    tokenizer: Any,
    chat: ChatVariables,
    conversation: Conversation,
    moment: datetime = MOMENTS[0],
    seed: int = 0,
    variables: Mapping[str, str] | None = None,
) -> str:
    random.seed(seed)
    chat = {**chat, **(variables or {}), _SHOWN: at(moment)}
    return tokenizer.apply_chat_template(
        conversation, add_generation_prompt=True, tokenize=False, **chat
    )


def _changing(
    render: Callable[..., str],
    what: str,
    conversations: Sequence[Conversation],
    values: Sequence[Any],
) -> Conversation | None:
    """The first conversation whose text depends on `what` of `values` it is rendered at."""
    for index, conversation in enumerate(conversations):
        tried = (values[0], values[-1]) if index else values
        first = render(conversation, **{what: values[0]})
        if any(render(conversation, **{what: value}) != first for value in tried):
            return conversation
    return None


def _fixing_key(template: str, render: Callable[..., str]) -> str:
    """The key of a model that fixes the template's date: a variable of its own, if it has one."""
    for variable in dict.fromkeys(re.findall(r"[A-Za-z_]\w*", template)):
        try:
            text = render(MOMENTS[0], variables={variable: _EXAMPLE_DATE})
            fixed = _EXAMPLE_DATE in text and all(
                render(moment, variables={variable: _EXAMPLE_DATE}) == text for moment in MOMENTS
            )
        except (TemplateError, ValueError, TypeError):
            continue  # it is no date, or no variable
        if fixed:
            return f'chat_template_kwargs: {{{variable}: "{_EXAMPLE_DATE}"}}'
    return (
        f'chat_template_date: "{_EXAMPLE_DAY}", as no variable in chat_template_kwargs gives this '
        "template its date"
    )


@contextmanager
def _kept_random_state() -> Iterator[None]:
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


def require_steady_models(models: Mapping[str, ModelSettings]) -> None:
    """`require_steady` for local models, and the hub's in the local cache, before any job starts.

    The others, and all where the libraries are not installed beside Snakemake, are looked at when
    they are prepared.

    Args:
        models: the study's models, by name.
    """
    for name, entry in models.items():
        folder = _present(entry)
        texts = _template_texts(folder) if folder else []
        if not any(_CLOCK.search(text) or _CHANCE.search(text) for text in texts):
            continue
        try:
            # Slow to import, and needed only where the text has one of these names.
            from transformers import AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        except Exception:  # not all of it is there, or of another version: that job will say so
            continue
        if entry.chat_template_date:
            fix_day(tokenizer, entry.chat_template_date)
        chat = entry.chat_template_kwargs
        require_steady(tokenizer, chat=chat, name=f"models.{name}")


def _present(entry: ModelSettings) -> Path | None:
    """The folder of a model that the study does not make, if its files are here."""
    if isinstance(entry, LocalModel):
        return Path(entry.path)
    return _cached(entry) if isinstance(entry, HubModel) else None


def _cached(entry: HubModel) -> Path | None:
    """The folder of a hub model's files in the local cache, if it is there."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    for file in _FILES:
        found = try_to_load_from_cache(entry.id, file, revision=entry.revision)
        if isinstance(found, str):
            return Path(found).parent
    return None


def _template_texts(folder: Path) -> Iterator[str]:
    for file in _FILES:
        if (folder / file).is_file():
            yield (folder / file).read_text(encoding="utf-8")
