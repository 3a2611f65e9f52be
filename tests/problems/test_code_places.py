"""Code is found in completions of every form: what defines the function, and what that uses."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfdapo.credit.code_spans import find_code_answer, find_code_spans
from cfdapo.problems import code_blocks
from cfdapo.problems.code_places import extract_code, find_code

F = "def f(xs):\n    total = sum(xs)\n    return total * 2"
MATH = F.replace("sum(xs)", "math.fsum(xs)")
HELPER = "def helper(x):\n    return math.floor(x) * 2"
IMPORTING_HELPER = f"import math\n\n{HELPER}"
USER = "def f(xs):\n    return sum(helper(x) for x in xs)"
WRONG = "def f(xs):\n    return 0"
DOCUMENTED = '''def f(xs):
    """Twice the sum.

    ```python
    f([1, 2])
    ```
    """
    return sum(xs) * 2'''
# The fence in the docstring stands like one outside.
FLUSH = DOCUMENTED.replace("    `", "`").replace("    f", "f")
DECORATOR = "def twice(g):\n    return lambda xs: g(xs) * 2"
REGISTERED = """from functools import singledispatch
@singledispatch
def f(xs):
    return sum(xs) * 2
@f.register(tuple)
def _(xs):
    return 0"""
UNITTEST = """class TestF(unittest.TestCase):
    def test(self):
        self.assertEqual(f([1]), 3)

if __name__ == "__main__":
    unittest.main()
unittest.main()"""
ARGUMENTS = """parser = argparse.ArgumentParser()
parser.add_argument("xs")
arguments = parser.parse_args()
print(f(arguments.xs))"""
SESSION = """>>> def f(xs):
...     return sum(xs) * 2
...
>>> f([1, 2])
6"""
TEST = "def test_f():\n    assert f([1]) == 3"
SCRIPT = "def main():\n    print(f([int(input())]))\n\nmain()"


def fenced(code: str, language: str = "python", fence: str = "```") -> str:
    return f"{fence}{language}\n{code}\n{fence}"


def indented(text: str, by: str = "   ") -> str:
    return "\n".join(by + line for line in text.split("\n"))


def blocks(*codes: str) -> str:
    return "\n\nThen:\n".join(fenced(code) for code in codes)


LANGUAGES = (
    *("Python", "PYTHON3", "py", " python", "python3.11", "{python}", "{.python .numberLines}"),
    *('python title="f.py"', "python {1,3}", "python:f.py", "python f.py", "py3 ", "c++", ""),
)
# Each of them defines f, which returns twice the sum.
FORMS = {
    "a block": f"Here it is:\n{fenced(F)}\nThat is all.",
    "no fence": F,
    # What stands behind it.
    "usage": blocks(F, "print(f([1, 2]))  # 6"),
    "usage that imports it": blocks(F, "from solution import f\nprint(f([1]))"),
    "a test": blocks(F, TEST),
    "output": f"{fenced(F)}\nOutput:\n{fenced('6', '')}",
    "output of words": f"{fenced(F)}\n{fenced('The sum is 6', 'text')}",
    "a shell": f"{fenced(F)}\n{fenced('$ pip install x && python f.py', 'bash')}",
    "JSON": f"{fenced(F)}\n" + fenced('{"f": [1, true]}', "json"),
    "another language": f"{fenced(F)}\n" + fenced("function f(xs) { return 0; }", "javascript"),
    "a signature": f"{fenced(F)}\nIts signature:\n{fenced('def f(xs): ...')}",
    "an empty block": f"{fenced(F)}\n```\n```",
    "broken code": blocks(F, "def f(xs): return (sum("),
    "cut off": f"{fenced(F)}\nLet me test this:\n```python\nassert f([1, 2",
    "usage in the block": fenced(f"{F}\n\nassert f([1]) == 3\nprint(f(input()))"),
    "a test in the block": fenced(f"{F}\n\n{TEST}\n\ntest_f()"),
    "a script": f"{F}\n\n{SCRIPT}",
    "a script without functions": f"{F}\n\nn = input()\nfound = f([int(n)])\nprint(found)",
    "a loop of usage": f"{F}\n\nfor xs in ([1], [2]):\n    print(f(xs), 1 / 0)",
    # What stands before it.
    "a wrong draft": blocks(WRONG, F),
    "a wrong draft with usage": blocks(f"{WRONG}\n\nprint(f([1]))", F),
    "a shell before": f"{fenced('pip install x', 'sh')}\n{fenced(F)}",
    "imports": blocks("import math", MATH),
    "a helper": blocks(IMPORTING_HELPER, USER),
    "imports, then a helper": blocks("import math", HELPER, USER),
    "a helper behind it": blocks(USER, IMPORTING_HELPER),
    "two helpers": blocks(IMPORTING_HELPER.replace("* 2", "* 3"), IMPORTING_HELPER, USER),
    "a draft with the helper": blocks(f"{IMPORTING_HELPER}\n\n{WRONG}\n\nf(1)", USER),
    "a helper with a test": blocks(f"{IMPORTING_HELPER}\n\nassert helper(1) == 3", USER),
    "all names of a module": blocks("from math import *", F.replace("sum(xs)", "fsum(xs)")),
    "a future import": blocks(IMPORTING_HELPER, f"from __future__ import annotations\n{USER}"),
    "an import behind it": blocks(f"from math import *\n{WRONG}", F.replace("xs)", "xs: List)", 1))
    + f"\nDon't forget:\n{fenced('from typing import List')}",
    "a decorator before": blocks(DECORATOR, f"@twice\n{F.replace(' * 2', '')}"),
    "registered": fenced(REGISTERED),
    "overloads": fenced(f"from typing import overload\n@overload\ndef f(xs: str) -> int: ...\n{F}"),
    "a counter": fenced(f"{F.replace('total =', 'f.calls += 1; total =')}\nf.calls = 0"),
    "the end of a script": fenced(f"import sys\n{F}\n\nsys.exit(f([1]))"),
    "a script with arguments": fenced(f"import argparse\n{F}\n\n{ARGUMENTS}"),
    "an exit": fenced(f"{F}\n\nexit()"),
    "unittest": fenced(f"import unittest\n{F}\n\n{UNITTEST}"),
    "unittest in a block": blocks(F, f"import unittest\nfrom solution import f\n{UNITTEST}"),
    # Sessions, listings, diffs.
    "a whole session": fenced(SESSION),
    "a session without a fence": SESSION,
    "a session among words": f"Try this:\n\n{SESSION}\n\nIt works.",
    "IPython": "In [1]: def f(xs):\n   ...:     return sum(xs) * 2\n   ...:\n\n"
    "In [2]: f([1])\nOut[2]: 2",
    "numbered": fenced("1  def f(xs):\n2      total = sum(xs)\n3\n4      return total * 2"),
    "numbered with bars": fenced("9 | def f(xs):\n10 |     return sum(xs) * 2"),
    "a diff": fenced("-def f(xs):\n-    return 0\n+def f(xs):\n+    return sum(xs) * 2", "diff"),
    "a diff with context": fenced(" def f(xs):\n-    return 0\n+    return sum(xs) * 2", "diff"),
    "an end token": f"{F}<|im_end|>",
    "an end token, not closed": f"```python\n{F}<|endoftext|>",
    "a byte order mark": f"\ufeff{F}",
    # Fences.
    "behind text": f"Here it is: ```python\n{F}\n```",
    "behind text, no language": f"Sure! ```\n{F}\n```",
    "in a list": f"1. First\n2. ```python\n{indented(F)}\n   ```",
    "indented": f"- So:\n\n{indented(fenced(F))}\n",
    "indented by tabs": indented(fenced(F), "\t"),
    "quoted": indented(f"So:\n{fenced(F)}", "> "),
    "code on the fence's line": f"```python {F}\n```",
    "code on the fence's line, no language": f"```{F}\n```",
    "closed behind code": f"```python\n{F}```",
    "on one line": "Just ```python f = lambda xs: sum(xs) * 2```.",
    "on one line, no language": "Just ```def f(xs): return sum(xs) * 2``` will do.",
    "tildes": fenced(F, fence="~~~"),
    "longer": fenced(F, fence="`````"),
    "nested": fenced(f"Text\n\n{fenced(F)}", "markdown", "````"),
    "not closed": f"```python\n{F}",
    "not closed, words behind": f"```python\n{F}\n\nThis returns twice the sum (see above",
    "only closed": f"{F}\n```\n\nThis returns twice the sum.",
    "closed twice": f"{fenced(F)}\n```\n",
    "opened twice": f"```\n{fenced(F)}",
    "opened twice, at once": f"```python\n```python\n{F}\n```\n```",
    "closed by words": f"```python\n{F}\n``` This returns twice the sum.",
    "closed by another fence": f"```python\n{F}\n~~~\n\nIt's that.",
    "a stray fence": f"```\nSo:\n{fenced(F)}\nDone.",
    "a fence in the docstring": fenced(DOCUMENTED),
    "a fence in the docstring, flush": fenced(FLUSH),
    "a fence in the docstring, no fence": FLUSH,
    "a fence in a string": fenced(F.replace("total =", "mark = '```'; total =")),
    "a fence in a comment": fenced(F.replace("sum(xs)", "sum(xs)  # no ``` here")),
    "windows": fenced(F).replace("\n", "\r\n"),
    "old macs": fenced(F).replace("\n", "\r"),
    **{f"language {name!r}": fenced(F, name) for name in LANGUAGES},
    "tags": f"[PYTHON]\n{F}\n[/PYTHON]\nDone",
    "the benchmark's tags": f"[BEGIN]\n{F}\n[DONE]",
    "an answer's tag": f"<answer>{F}</answer>",
    "a page's tag": f'<pre><code class="language-python">{F}</code></pre>',
    "a tag around a fence": f"<answer>\n{fenced(F)}\n</answer>",
    # Words around code without a fence.
    "words around it": f"Here is the function:\n\n{F}\n\nIt adds up all items (and doubles them).",
    "one word before it": f"Solution\n\n{F}",
    "a heading": f"# Solution\n\n{F}\n\n# Why it's right\nBecause sums add up.",
    "words and imports": f"So:\n\nimport os\nfrom math import floor\n\n{F}\n\nDone: it's right.",
    "indented as Markdown has it": f"So:\n\n{indented(F, '    ')}\n\nDone.",
    "a helper among words": f"So:\n\n{IMPORTING_HELPER}\n\nWith it:\n\n{USER}\n\nThat's it.",
    "imports outside the block": f"First import math.\n\nimport math\n\n{fenced(MATH)}",
    "in a sentence": "One line will do: `f = lambda xs: sum(xs) * 2` (not `f = sum`).",
    "decorated": f"So:\n\nimport functools\n\n@functools.wraps(sum)\n{F}\n\nDone.",
    "brackets over lines": "So:\n\ndef f(\nxs,\n):\n    return sum(\nxs) * 2\n\nDone (really",
    "a string over lines": f"So:\n\n{DOCUMENTED.replace('    `', '').replace('```', '(')}\n\nYes.",
    "a branch": "So:\n\ntry:\n    import no_such_module\nexcept ImportError:\n    two = 2\n\n"
    "def f(xs):\n    return sum(xs) * two\n\nDone.",
    "a session": ">>> def f(xs):\n...     return sum(xs) * 2\n...\n>>> f([1])\n2",
    "a session in a block": f"So:\n{fenced('>>> f = lambda xs: sum(xs) * 2')}",
    "a turn that follows": f"{F}\n\n[INST] Thanks [/INST] You're welcome",
    # What looks like usage.
    "a class": "class A:\n    def f(self, xs):\n        return sum(xs) * 2\n\nf = A().f",
    "an attribute": "def f(xs):\n    return sum(xs) * f.by\n\nf.by = 2\nassert f([1]) == 3",
    "a table": "two = {}\nfor n in range(3):\n    two[n] = n\n\n"
    "def f(xs):\n    return sum(xs) * two[2]",
    "a wrapper": f"{F}\n\ndef twice(g):\n    return lambda xs: g(xs)\n\nf = twice(f)",
    # Thoughts.
    "behind a thought": f"<think>\nMaybe\n{fenced(WRONG)}\n</think>\n\n{fenced(F)}",
    "behind a thought that was begun": f"Maybe {fenced(WRONG)}\n</think>\n{F}",
    "behind a thought with another tag": f"<thinking>{fenced(WRONG)}</thinking>\n{fenced(F)}",
    "behind thoughts": f"<think>a</think> Hm.\n<think>{fenced(WRONG)}</think>\n{fenced(F)}",
}
# What is returned is no sum; a span stands behind what is returned.
NO_RETURN = ("a class", "a wrapper", "an import behind it")


@pytest.mark.parametrize("form", FORMS)
def test_the_code_that_defines_the_function_is_found(form):
    space: dict = {"__name__": "solution"}
    exec(compile(extract_code(FORMS[form], "f"), "solution.py", "exec"), space)
    assert space["f"]([1, 2, 4]) == 14


@pytest.mark.parametrize("form", [form for form in FORMS if form not in NO_RETURN])
def test_credit_finds_the_text_that_is_graded(form):
    text = FORMS[form]
    code = find_code(text, "f")
    answer = find_code_answer(text, function="f")
    spans = find_code_spans(text, 99, answer, "f")
    assert text[answer.start : answer.end].startswith(("total", "sum("))
    lines = [range(start, end) for start, end in code.lines]
    for span in (*spans, answer):
        assert any(span.start in line for line in lines)
        assert any(span.end - 1 in line for line in lines)
    # They are the spans of the code alone.
    alone = code.source
    end = find_code_answer(alone, function="f").start
    expected = [alone[s.start : s.end] for s in find_code_spans(alone, 99) if s.end <= end]
    found = ["\n".join(text[s.start : s.end].splitlines()) for s in spans]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x = 1", "x = 1"),
        ("", ""),
        ("```python\nx = 1\n```", "x = 1"),
        ("Here:\n```py\nx = 1\ny = 2\n```\nDone.", "x = 1\ny = 2"),
        ("```\na\n```\nor\n~~~python\nb\n~~~\n", "b"),
        ("```python\na\n```\n```python\nb", "b"),  # not closed
        ("```python", ""),
        ("```python\n```", ""),
        ("````\n```\nx\n```\n````", "x"),
        ("  ```python\n  x = 1\n  ```", "x = 1"),
        ("`x`", "`x`"),
        ("```python\ns = '''\n``` not a fence'''\n```", "s = '''\n``` not a fence'''"),
        ("```python\nx = 1\n```\nOutput:\n```\n1\n```", "x = 1"),
        ("Words,\n```python\ndef f(x):\n    return (x", "def f(x):\n    return (x"),
        (f"{fenced(F)}\n{fenced(SCRIPT)}", F),
        # A thought that does not end states nothing.
        (f"<think>\n{fenced(F)}", ""),
        (f"{fenced(F)}\n<think>\nOr is it\n{fenced(WRONG)}", F),
        (f"{fenced(F)}\n</think>", ""),
    ],
)
def test_without_a_name_the_last_block_that_names_something_is_code(text, code):
    assert extract_code(text) == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        # Nothing defines it: what comes nearest, to be shown.
        ("Words,\n```python\ndef f(x):\n    return (x", "def f(x):\n    return (x"),
        ("```python\ndef g(x): return x\n```", "def g(x): return x"),
        ("I do not know.", "I do not know."),
        # As a script, whose names are then asked for.
        (f"{F}\n\n{TEST}", F),
    ],
)
def test_without_a_definition_something_is_code(text, code):
    assert extract_code(text, "f") == code


def test_a_function_is_found_by_its_name_among_others():
    text = blocks(F, USER.replace("def f", "def g").replace("helper", "f"))
    assert extract_code(text, "f") == F
    assert extract_code(text, "g").startswith(F) and "def g" in extract_code(text, "g")
    assert find_code_answer(text, function="f") == find_code_answer(fenced(F), function="f")
    main = "def main(x):\n    return x"
    assert extract_code(blocks(F, main), "main") == main


PARTS = [
    "```",
    "~~~",
    "python",
    "\n",
    " ",
    "x",
    "def f():",
    "return",
    "'''",
    '"',
    "#",
    "(",
    "=",
    "\r",
]
PARTS += ["<think>", "</think>", "import a", "[PYTHON]", ">>> ", "> ", "    ", ":", "f", "@", "\\"]


@settings(max_examples=300, deadline=None)
@given(
    st.text() | st.lists(st.sampled_from(PARTS)).map("".join),
    st.sampled_from(["f", "x", None]),
)
def test_code_is_made_of_lines_of_any_text(text, function):
    code = find_code(text, function)
    assert all(0 <= start <= end <= len(text) for start, end in code.lines)
    assert all("\n" not in text[start:end] for start, end in code.lines)
    edges = [edge for line in sorted(code.lines) for edge in line]
    assert edges == sorted(edges)
    assert code.source == "\n".join(text[start:end] for start, end in code.lines)


@pytest.mark.parametrize(
    "unit",
    ["```\n", "```python\nx = (\n", '"""\n```\n', "x = (\n", "```\ndef f(x): return x\n```\n"]
    + [
        "def f(x):\n",
        "@a\n",
        "if x:\n",
        "it's ```\n",
        "'''\n```\n\"\"\"\n",
        "<code>",
        "(",
        "> ",
        "```" + "{}" * 30 + "x\n",
    ],
)
def test_work_is_linear_in_the_text(unit, monkeypatch):
    """What is parsed and scanned, in characters, for ten times the text."""
    work = []
    parse = code_blocks.parse_code
    monkeypatch.setattr(
        code_blocks, "parse_code", lambda code: work.append(len(code)) or parse(code)
    )
    for size in (2_000, 20_000):
        find_code((unit * size)[:size], "f")
        work.append(None)
    short, long = work.index(None), len(work) - 1
    assert sum(work[short + 1 : long]) < 15 * (sum(work[:short]) + 2_000)
