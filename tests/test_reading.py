"""as_list: whatever holds one item for each sequence becomes a list of those items, and nothing else does."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqclf import SequenceDataset, Vocabulary
from seqclf.errors import InvalidDataError
from seqclf.reading.columns import as_list


class Column:
    """A column of a library: iterating it gives wrappers, and a method gives the items."""

    def __init__(self, items: list[Any], method: str) -> None:
        self.items = items
        setattr(self, method, lambda: self.items)

    def __iter__(self) -> Any:
        return iter(map(repr, self.items))


class Array:
    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.arange(6.0).reshape(3, 2)


@given(st.lists(st.text(max_size=3)))
def test_lists_and_what_is_like_them(items: list[str]) -> None:
    for given_items in (items, tuple(items), iter(items), np.array(items, dtype=object), Column(items, "to_list")):
        assert as_list(given_items) == items
    assert as_list(Column(items, "to_pylist")) == items


def test_rows_of_arrays_are_items() -> None:
    rows = np.arange(6.0).reshape(3, 2)
    for items in (rows, torch.from_numpy(rows), Array()):
        assert [row.tolist() for row in as_list(items)] == rows.tolist()
    nested = torch.nested.nested_tensor([torch.ones(2, 3), torch.zeros(4, 3)], layout=torch.jagged)
    assert [tuple(one.shape) for one in as_list(nested)] == [(2, 3), (4, 3)]


@pytest.mark.parametrize("items", ["abc", b"abc", {"a": 1}, 5, None, np.array(1.0), torch.tensor(1)])
def test_what_has_no_items_is_refused(items: Any) -> None:
    with pytest.raises(InvalidDataError, match=r"words must be a list, an array or a column, .*Put a single one into"):
        as_list(items, "words")
    with pytest.raises(InvalidDataError, match=r"sequences must be a list"):
        Vocabulary.build(items)


@pytest.mark.parametrize("attribute", ["columns", "column_names"])
def test_whole_tables_are_refused(attribute: str) -> None:
    table = Column(["a"], "to_list")
    setattr(table, attribute, ["name"])
    with pytest.raises(
        InvalidDataError, match=r"sequences must be one column, .*; got the table Column\. Pick the column"
    ):
        SequenceDataset.from_sequences(table, ["x"])
    with pytest.raises(InvalidDataError, match=r"labels must be one column"):
        SequenceDataset.from_sequences(["a"], table)
