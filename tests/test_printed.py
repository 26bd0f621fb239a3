"""What pages show of the output of their code is held to it."""

import pytest

from tests.printed import fill_in, is_all_shown

PRINTED = "n=603, loss=0.8464, accuracy=72.8 %\ns    +1.648  ++++++++\n['Japanese']\n"


@pytest.mark.parametrize(
    "page",
    [
        PRINTED,
        "n=603, loss=0.8, accuracy=70.1 %\ns    +1.648  ++++++\n['Japanese']\n",
        "n=603, ...\n['Japanese']\n",
        "n=..., loss=0.8464, accuracy=72.8 %\n...",
    ],
    ids=["the same", "near", "lines left out", "a count left out"],
)
def test_what_is_shown_may_be_rounded_and_shortened(page: str) -> None:
    assert is_all_shown(page, PRINTED)


@pytest.mark.parametrize(
    "page",
    [
        PRINTED.replace("603", "604"),
        PRINTED.replace("72.8", "82.8"),
        PRINTED.replace("0.8464", "0.7"),
        PRINTED.replace("Japanese", "French"),
        PRINTED.replace("+1.648", "-1.648"),
        PRINTED + "more\n",
        PRINTED.splitlines()[0] + "\n",
        "",
    ],
    ids=["a count", "a percentage", "a figure", "a word", "a sign", "too much", "too little", "nothing"],
)
def test_what_is_not_printed_is_noticed(page: str) -> None:
    assert not is_all_shown(page, PRINTED)


def test_a_page_is_filled_in_once_and_keeps_what_is_right() -> None:
    prints, silent, stale = "```python\nprint(1 / 3)\n```\n", "```python\nx = 2\n```\n", "```python\nprint(x)\n```\n"
    filled = fill_in(f"{prints}\nText.\n\n{silent}\n{stale}\n```text\n3\n```\n")
    shown = "\n```text\n0.3333333333333333\n```\n"
    assert filled == f"{prints}{shown}\nText.\n\n{silent}\n{stale}\n```text\n2\n```\n"
    rounded = filled.replace("0.3333333333333333", "0.33")
    assert fill_in(rounded) == rounded
