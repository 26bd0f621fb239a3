"""Kinds of values that users hand in, and what each is read as: said once, for all doors and for the page on data."""

import array
import collections
import datetime
import decimal
import enum
import fractions
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import torch


@dataclass(frozen=True)
class Kind:
    """A kind of value.

    Attributes:
        name: What the page on data calls it.
        make: What makes one.
        plain: What makes the plain value that it is read as; None where it is refused.
        reading: What the page says of it.
    """

    name: str
    make: Callable[[], Any]
    plain: Callable[[], Any] | None
    reading: str


class Colour(str, enum.Enum):
    RED = "red"


class Plain(enum.Enum):
    ONE = 1


ROWS = np.array([[0.5, 1.5], [2.5, 3.5], [4.5, 5.5]], np.float32)
CLOCK = 1.7e9 + np.arange(5.0)


def text() -> str:
    return "abba"


def tokens() -> list[str]:
    return ["a", "b", "a"]


def ids() -> list[int]:
    return [5, 6, 5]


def rows() -> Any:
    return ROWS.copy()


def curve() -> Any:
    return ROWS[:, :1].copy()


def _masked(values: Any, mask: Any) -> Any:
    return np.ma.MaskedArray(values, mask)


SEQUENCES = [
    Kind("`str`", text, text, "text: each character is a step"),
    Kind("`numpy.str_`", lambda: np.str_("abba"), text, "text"),
    Kind("list of `str`", tokens, tokens, "symbols"),
    Kind("tuple of `str`", lambda: ("a", "b", "a"), tokens, "symbols"),
    Kind("deque", lambda: collections.deque("aba"), tokens, "symbols"),
    Kind("NumPy array of `str`", lambda: np.array(tokens()), tokens, "symbols"),
    Kind("NumPy array of objects", lambda: np.array(tokens(), object), tokens, "symbols"),
    Kind("list of `numpy.str_`", lambda: list(np.array(tokens())), tokens, "symbols"),
    Kind("pandas Series of `str`", lambda: pd.Series(tokens()), tokens, "symbols"),
    Kind("polars Series of `str`", lambda: pl.Series(tokens()), tokens, "symbols"),
    Kind("list of `int`", ids, ids, "symbols"),
    Kind("`range`", lambda: range(5, 7), lambda: [5, 6], "symbols"),
    Kind("`array.array` of integers", lambda: array.array("i", ids()), ids, "symbols"),
    Kind("`bytes`", lambda: b"\x05\x06\x05", ids, "symbols: the numbers of the bytes"),
    Kind("integer array, one dimension", lambda: np.array(ids(), np.int16), ids, "symbols"),
    Kind("unsigned integer array", lambda: np.array(ids(), np.uint64), ids, "symbols"),
    Kind("big-endian integer array", lambda: np.array(ids(), ">i4"), ids, "symbols"),
    Kind("integer tensor", lambda: torch.tensor(ids()), ids, "symbols"),
    Kind("list of scalar tensors", lambda: list(torch.tensor(ids())), ids, "symbols"),
    Kind("list of `numpy.int64`", lambda: list(np.array(ids())), ids, "symbols"),
    Kind("list of arrays without dimensions", lambda: [np.array(5), np.array(6)], lambda: [5, 6], "symbols"),
    Kind("list of `bool`", lambda: [True, False], lambda: [True, False], "symbols"),
    Kind("array of `bool`", lambda: np.array([True, False]), lambda: [True, False], "symbols"),
    Kind("list of tuples of names", lambda: [("a", 1), ("b", 2)], lambda: [("a", 1), ("b", 2)], "symbols"),
    Kind("list of `bytes`", lambda: [b"a", b"b"], lambda: [b"a", b"b"], "symbols"),
    Kind("float array (T, F)", rows, rows, "measurements"),
    Kind("float array (T,)", lambda: ROWS[:, 0], curve, "measurements of one feature"),
    Kind("float64 array", lambda: ROWS.astype(float), rows, "measurements, as float32"),
    Kind(
        "float64 array that float32 cannot hold apart", lambda: CLOCK, lambda: CLOCK[:, None], "float64, until scaled"
    ),
    Kind("float16 array", lambda: ROWS.astype(np.float16), rows, "measurements"),
    Kind("longdouble array", lambda: ROWS.astype(np.longdouble), rows, "measurements"),
    Kind("big-endian float array", lambda: ROWS.astype(">f8"), rows, "measurements"),
    Kind("float array with negative strides", lambda: ROWS[::-1][::-1], rows, "measurements"),
    Kind(
        "read-only float array", lambda: np.frombuffer(ROWS.tobytes(), np.float32).reshape(3, 2), rows, "measurements"
    ),
    Kind("Fortran-ordered float array", lambda: np.asfortranarray(ROWS), rows, "measurements"),
    Kind("masked array with nothing masked", lambda: _masked(ROWS, False), rows, "measurements"),
    Kind("float tensor", lambda: torch.from_numpy(ROWS), rows, "measurements"),
    Kind("bfloat16 tensor", lambda: torch.from_numpy(ROWS).bfloat16(), rows, "measurements"),
    Kind("tensor that needs gradients", lambda: torch.from_numpy(ROWS).requires_grad_(), rows, "measurements"),
    Kind("list of float tensors, each a step", lambda: list(torch.from_numpy(ROWS)), rows, "measurements"),
    Kind("list of float arrays, each a step", lambda: list(ROWS), rows, "measurements"),
    Kind("pandas Series of floats", lambda: pd.Series(ROWS[:, 0]), curve, "measurements of one feature"),
    Kind("list of integer arrays", lambda: [np.array([1, 2]), np.array([3, 4])], None, "pass one float array"),
    Kind("rows of different widths", lambda: [np.ones(2), np.ones(3)], None, "pass one float array"),
    Kind("`None`", lambda: None, None, "a missing sequence"),
    Kind("`nan`", lambda: float("nan"), None, "a missing sequence"),
    Kind("`pandas.NA`", lambda: pd.NA, None, "a missing sequence"),
    Kind("a number", lambda: 5, None, "no sequence"),
    Kind("list of `float`", lambda: [0.5, 1.5], None, "pass a float array"),
    Kind("list with a float anywhere", lambda: [0, 1.5], None, "pass a float array"),
    Kind("list of `numpy.float32`", lambda: list(ROWS[:, 0]), None, "pass a float array"),
    Kind("array of objects that are floats", lambda: np.array([0.5, 1.5], object), None, "pass a float array"),
    Kind("list of `numpy.longdouble`", lambda: list(np.array([0.5, 1.5], np.longdouble)), None, "pass a float array"),
    Kind("list of decimals", lambda: [decimal.Decimal("0.5")], None, "pass a float array"),
    Kind("list of fractions", lambda: [fractions.Fraction(1, 2)], None, "pass a float array"),
    Kind("list of complex numbers", lambda: [1j], None, "two features"),
    Kind("tuples of tuples with amounts", lambda: [("a", ("b", 0.5))], None, "pass either"),
    Kind("tuples with `None`", lambda: [("a", None)], lambda: [("a", None)], "symbols"),
    Kind("tuples with `nan`", lambda: [("a", float("nan"))], None, "name it, or leave it out"),
    Kind("tuples of scalar tensors", lambda: [("a", torch.tensor(5))], lambda: [("a", 5)], "symbols"),
    Kind("enums", lambda: [Plain.ONE], None, "files cannot hold them"),
    Kind("objects", lambda: [object()], None, "files cannot hold them"),
    Kind("pyarrow array of `str`", lambda: pa.array(tokens()), tokens, "symbols"),
    Kind("pyarrow array of integers", lambda: pa.array(ids()), ids, "symbols"),
    Kind("pyarrow array of floats", lambda: pa.array(ROWS[:, 0]), curve, "measurements of one feature"),
    Kind("`Int64` Series with a gap", lambda: pd.Series([5, None, 6], dtype="Int64"), None, "name it, or leave it out"),
    Kind("polars integers with a gap", lambda: pl.Series([5, None, 6]), None, "name it, or leave it out"),
    Kind("sparse tensor", lambda: torch.eye(3).to_sparse(), None, "call `to_dense()`"),
    Kind("list of lists of numbers", lambda: [[0.5, 1.5], [2.5, 3.5]], None, "pass a float array"),
    Kind("list with a missing symbol", lambda: ["a", None], None, "name it, or leave it out"),
    Kind("list with `pandas.NA`", lambda: ["a", pd.NA], None, "name it, or leave it out"),
    Kind("tuples of names and amounts", lambda: [("a", 0.5), ("b", 1.5)], None, "pass either"),
    Kind("`bool` and `int` in one list", lambda: [True, 2], None, "`True` equals 1"),
    Kind("masked symbols", lambda: _masked(ids(), [False, True, False]), None, "pass `.compressed()`"),
    Kind("integer array (T, F)", lambda: np.arange(6).reshape(3, 2), None, "pass floats"),
    Kind("array of three dimensions", lambda: np.zeros((2, 2, 2), np.float32), None, "one array for each sequence"),
    Kind("complex array", lambda: np.array([1j, 2j]), None, "two features"),
    Kind("array of dates", lambda: np.array(["2026-01-01"], "M8[D]"), None, "turn it into floats"),
    Kind("`set`", lambda: {"a", "b"}, None, "it has no order"),
    Kind("`dict` of values", lambda: {"a": 1}, None, "columns must have a value for each step"),
    Kind("generator", lambda: (one for one in "ab"), None, "pass a list"),
    Kind(
        "data frame, `dict` of columns",
        lambda: pd.DataFrame({"x": [0.5], "y": [1.5]}),
        lambda: [{"x": 0.5, "y": 1.5}],
        "[records](events.md): a field for each column",
    ),
    Kind("float array with infinities", lambda: np.array([0.5, np.inf], np.float32), None, "not finite"),
    Kind("floats beyond float32", lambda: np.array([0.5, 1e200]), None, "scale them"),
    Kind("float array with NaN", lambda: np.array([0.5, np.nan], np.float32), None, "allow_missing, trailing_missing"),
]

LABELS = [
    Kind("`str`", lambda: ["x", "y"], lambda: ["x", "y"], "a class"),
    Kind("`int`", lambda: [1, 2], lambda: [1, 2], "a class"),
    Kind("`bool`", lambda: [True, False], lambda: [True, False], "a class"),
    Kind("`float`, few different ones", lambda: [1.0, 2.5], lambda: [1.0, 2.5], "a class"),
    Kind("`bytes`", lambda: [b"x", b"y"], lambda: [b"x", b"y"], "a class"),
    Kind("tuples", lambda: [("a", 1), ("b", 2)], lambda: [("a", 1), ("b", 2)], "a class"),
    Kind("frozensets", lambda: [frozenset("ab"), frozenset("c")], lambda: [frozenset("ab"), frozenset("c")], "a class"),
    Kind(
        "dates",
        lambda: [datetime.date(2026, 1, 1), datetime.date(2026, 1, 2)],
        lambda: [datetime.date(2026, 1, 1), datetime.date(2026, 1, 2)],
        "a class",
    ),
    Kind("NumPy array of integers", lambda: np.array([1, 2]), lambda: [1, 2], "classes"),
    Kind("array (n, 1)", lambda: np.array([[1], [2]]), lambda: [1, 2], "classes"),
    Kind("tensor", lambda: torch.tensor([1, 2]), lambda: [1, 2], "classes"),
    Kind("list of scalar tensors", lambda: list(torch.tensor([1, 2])), lambda: [1, 2], "classes"),
    Kind("pandas Series", lambda: pd.Series(["x", "y"]), lambda: ["x", "y"], "classes"),
    Kind("pandas categories", lambda: pd.Series(["x", "y"], dtype="category"), lambda: ["x", "y"], "classes"),
    Kind("polars Series", lambda: pl.Series(["x", "y"]), lambda: ["x", "y"], "classes"),
    Kind("pyarrow array", lambda: pa.array(["x", "y"]), lambda: ["x", "y"], "classes"),
    Kind("frame of one column", lambda: pd.DataFrame({"y": ["x", "y"]}), lambda: ["x", "y"], "classes"),
    Kind("`None` among them", lambda: ["x", None], None, "a missing label"),
    Kind("`nan` among them", lambda: [1.0, float("nan")], None, "a missing label"),
    Kind("`pandas.NA` among them", lambda: pd.Series(["x", None], dtype="string"), None, "a missing label"),
    Kind("`Int64` with a gap", lambda: pd.Series([1, None], dtype="Int64"), None, "a missing label"),
    Kind("`NaT` among them", lambda: [pd.NaT, "x"], None, "a missing label"),
    Kind("masked array", lambda: _masked([1, 2], [False, True]), None, "a missing label"),
    Kind("polars gap", lambda: pl.Series(["x", None]), None, "a missing label"),
    Kind("pyarrow gap", lambda: pa.array(["x", None]), None, "a missing label"),
    Kind("enums", lambda: [Plain.ONE, Colour.RED], None, "pass .name or .value"),
    Kind("measured numbers", lambda: list(np.linspace(0.1, 9.7, 12)), None, "regression"),
    Kind("`True` beside 1", lambda: [True, 1], None, "they are equal"),
    Kind("objects", lambda: [object(), object()], None, "files cannot hold them"),
    Kind("decimals", lambda: [decimal.Decimal(1), decimal.Decimal(2)], None, "files cannot hold them"),
    Kind("lists", lambda: [["a"], ["b"]], None, "not hashable"),
    Kind("one-hot rows", lambda: np.eye(2), None, "pass `.argmax(1)`"),
    Kind("a `set` of labels", lambda: {"x", "y"}, None, "it has no order"),
    Kind("a single string", lambda: "xy", None, "pass a list"),
]

INDICES = [
    Kind("list of `int`", lambda: [2, 0], lambda: [2, 0], "those"),
    Kind("tuple of `int`", lambda: (2, 0), lambda: [2, 0], "those"),
    Kind("below zero", lambda: [-1, 0], lambda: [4, 0], "from the end"),
    Kind("`range`", lambda: range(1, 3), lambda: [1, 2], "those"),
    Kind("slice", lambda: slice(1, 3), lambda: [1, 2], "those"),
    Kind("slice with a step", lambda: slice(None, None, -2), lambda: [4, 2, 0], "those"),
    Kind("integer array", lambda: np.array([2, 0], np.int32), lambda: [2, 0], "those"),
    Kind("unsigned array", lambda: np.array([2, 0], np.uint8), lambda: [2, 0], "those"),
    Kind("integer tensor", lambda: torch.tensor([2, 0]), lambda: [2, 0], "those"),
    Kind("list of `numpy.int64`", lambda: list(np.array([2, 0])), lambda: [2, 0], "those"),
    Kind("pandas Series", lambda: pd.Series([2, 0]), lambda: [2, 0], "those"),
    Kind("mask: list of `bool`", lambda: [False, True, False, False, True], lambda: [1, 4], "where it is true"),
    Kind("mask: array", lambda: np.array([0, 1, 0, 0, 1], bool), lambda: [1, 4], "where it is true"),
    Kind("mask: tensor", lambda: torch.tensor([0, 1, 0, 0, 1]).bool(), lambda: [1, 4], "where it is true"),
    Kind("fractions", lambda: [0.9, 1.9], None, "not integers"),
    Kind("strings", lambda: ["0"], None, "not integers"),
    Kind("a string", lambda: "a", None, "not integers"),
    Kind("a list of lists", lambda: [[0], [1, 2]], None, "not integers"),
    Kind("pyarrow mask", lambda: pa.array([False, True, False, False, True]), lambda: [1, 4], "where it is true"),
    Kind("polars mask", lambda: pl.Series([False, True, False, False, True]), lambda: [1, 4], "where it is true"),
    Kind("`bool` and `int` in one list", lambda: [True, 2], None, "one or the other"),
    Kind("masked array", lambda: _masked([1, 2], [False, True]), None, "one is missing"),
    Kind("unsigned beyond the end", lambda: np.array([2**64 - 1], np.uint64), None, "there is none"),
    Kind("slice of fractions", lambda: slice(0.5, 3), None, "not integers"),
    Kind("slice without a step", lambda: slice(None, None, 0), None, "a step of 0"),
    Kind("beyond the end", lambda: [5], None, "there is none"),
    Kind("mask of another length", lambda: [True], None, "one for each sequence"),
    Kind("two dimensions", lambda: np.array([[0], [1]]), None, "one dimension"),
]

WEIGHTS = [
    Kind("`dict`", lambda: {"x": 2.0, "y": 1.0}, lambda: {"x": 2.0, "y": 1.0}, "by label"),
    Kind("pandas Series", lambda: pd.Series({"y": 1.0, "x": 2.0}), lambda: {"x": 2.0, "y": 1.0}, "by label"),
    Kind("list", lambda: [2.0, 1.0], lambda: {"x": 2.0, "y": 1.0}, "in the order of the classes"),
    Kind("array", lambda: np.array([2.0, 1.0]), lambda: {"x": 2.0, "y": 1.0}, "in the order of the classes"),
    Kind("tensor", lambda: torch.tensor([2.0, 1.0]), lambda: {"x": 2.0, "y": 1.0}, "in the order of the classes"),
    Kind("unknown label", lambda: {"z": 1.0}, None, "no class"),
    Kind("wrong length", lambda: [1.0], None, "one for each class"),
    Kind("negative", lambda: [1.0, -1.0], None, "above 0"),
    Kind("strings", lambda: ["1", "2"], None, "no numbers"),
    Kind("masked", lambda: _masked([1.0, 2.0], [False, True]), None, "one is missing"),
    Kind("complex", lambda: [1j, 2j], None, "no numbers"),
]


def table() -> str:
    """Return the page's table of what is read as what."""
    lines = ["| what | is read as |", "|---|---|"]
    parts = {"Sequences": SEQUENCES, "Labels": LABELS, "Indices": INDICES, "Class weights": WEIGHTS}
    for title, kinds in parts.items():
        lines.append(f"| **{title}** | |")
        lines += [f"| {kind.name} | {'' if kind.plain else 'refused: '}{kind.reading} |" for kind in kinds]
    return "\n".join(lines)
