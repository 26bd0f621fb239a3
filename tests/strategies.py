"""The only inventor of data: every generator that the tests draw from."""

from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from seqclf import RNNClassifier, SequenceDataset, Vocabulary
from seqclf.cells import IndRNNCell, LayerNormGRUCell, LayerNormLSTMCell, MinGRUCell, MinLSTMCell, PeepholeLSTMCell

VOCAB_SIZE = 7
INPUT_SIZE = 3
BUILT_IN_CELLS = ("lstm", "gru", "rnn", "rnn_relu")
POOLINGS = ("last", "mean", "max", "attention", ("last", "max"), ("attention", "last", "mean"))


class TutorialCell(nn.Module):
    """A hand-written cell: one linear map of input and state side by side, and tanh."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.i2h = nn.Linear(input_size + hidden_size, hidden_size)

    def forward(self, x_t: Tensor, state: Tensor | None) -> Tensor:
        state = x_t.new_zeros(len(x_t), self.hidden_size) if state is None else state
        return torch.tanh(self.i2h(torch.cat([x_t, state], dim=1)))


class SumAndCount(nn.Module):
    """A pooling of a user's own, with an output size of its own: the sum of states beside their count."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.output_size = size + 1

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        return torch.cat([states.sum(1), lengths[:, None].to(states)], dim=1)


LIBRARY_CELLS = (IndRNNCell, LayerNormGRUCell, LayerNormLSTMCell, MinGRUCell, MinLSTMCell, PeepholeLSTMCell)
NORMALISING_CELLS = (LayerNormGRUCell, LayerNormLSTMCell)
CELLS: tuple[Any, ...] = (*BUILT_IN_CELLS, nn.LSTMCell, nn.GRUCell, TutorialCell, *LIBRARY_CELLS)

# Any text that can be written as UTF-8, the awkward parts of Unicode included.
texts = st.text(max_size=12)
words = st.lists(st.text(max_size=4), max_size=8)
numbers = st.lists(st.integers(), max_size=8)
mixed = st.lists(
    st.one_of(st.integers(), st.text(max_size=2), st.binary(max_size=2), st.tuples(st.integers(), st.text(max_size=1)))
)
lengths = st.lists(st.integers(1, 40), min_size=1, max_size=120)
seeds = st.integers(0, 2**31 - 1)


@st.composite
def id_sequences(draw: st.DrawFn, max_count: int = 6, max_length: int = 8) -> list[Tensor]:
    """Some sequences of known ids, none of them padding."""
    ids = st.lists(st.integers(1, VOCAB_SIZE - 1), min_size=1, max_size=max_length)
    return [torch.tensor(sequence) for sequence in draw(st.lists(ids, min_size=1, max_size=max_count))]


@st.composite
def feature_sequences(draw: st.DrawFn, max_count: int = 6, max_length: int = 8) -> list[Tensor]:
    """Some float sequences of shape (T, INPUT_SIZE); their values come from a drawn seed."""
    sizes = draw(st.lists(st.integers(1, max_length), min_size=1, max_size=max_count))
    generator = torch.Generator().manual_seed(draw(seeds))
    return [torch.randn(size, INPUT_SIZE, dtype=torch.float64, generator=generator) for size in sizes]


@st.composite
def symbol_options(draw: st.DrawFn, *, is_forward: bool = False) -> dict[str, Any]:
    """What a model may read of a symbol's step besides the symbol."""
    positions = (None, None, "start") if is_forward else (None, "start", "end", "both")
    ngrams = draw(st.sampled_from((None, (2,), (2, 3), (3,))))
    return {
        "positions": draw(st.sampled_from(positions)),
        "ngrams": ngrams,
        "num_ngrams": 0 if ngrams is None else draw(st.integers(1, 40)),
    }


def know_ngrams(model: RNNClassifier, seed: int) -> None:
    """Let a model know some n-grams of its orders, with vectors that are not zero."""
    if model.ngram_vectors is None:
        return
    assert model.vocab_size is not None
    rng = np.random.default_rng(seed)
    keys: set[int] = set()
    while len(keys) < len(model.ngram_vectors.keys):
        ids = rng.integers(1, model.vocab_size, rng.choice(model.ngram_vectors.orders)).tolist()
        keys.add(sum(int(one) * model.vocab_size**place for place, one in enumerate(reversed(ids))))
        if len(keys) > 30:  # so many there are for certain
            break
    known = sorted(keys)
    model.num_ngrams = len(known)
    model.ngram_vectors.keys = torch.tensor(known, dtype=torch.int64)
    vectors = torch.from_numpy(rng.normal(size=(len(known), model.embedding_dim)))
    model.ngram_vectors.weight = nn.Parameter(vectors.to(model.head.weight))


@st.composite
def models(draw: st.DrawFn, *, features: bool | None = None, cells: tuple[Any, ...] = CELLS) -> RNNClassifier:
    """A small float64 model in eval mode, of any cell, depth, direction, pooling and execution."""
    features = draw(st.booleans()) if features is None else features
    bidirectional = draw(st.booleans())
    cell = draw(st.sampled_from(cells))
    # Over few features a norm may divide by almost nothing, which blows up what rounding leaves.
    hidden_size = draw(st.integers(8, 12) if cell in NORMALISING_CELLS else st.integers(1, 4))
    pooling = draw(st.sampled_from((*POOLINGS, "own")))
    more = {} if features else draw(symbol_options(is_forward=not bidirectional))
    model = RNNClassifier(
        num_classes=3,
        vocab_size=None if features else VOCAB_SIZE,
        input_size=INPUT_SIZE if features else None,
        embedding_dim=3,
        cell=cell,
        hidden_size=hidden_size,
        num_layers=draw(st.integers(1, 3)),
        bidirectional=bidirectional,
        pooling=SumAndCount(hidden_size * (2 if bidirectional else 1)) if pooling == "own" else pooling,
        execution=draw(st.sampled_from(("auto", "padded", "packed", "native"))),
        seed=draw(seeds),
        **more,
    )
    know_ngrams(model, draw(seeds))
    return model.double().eval()


@st.composite
def labelled_texts(draw: st.DrawFn, min_size: int = 2, max_size: int = 60) -> list[tuple[str, str]]:
    """(text, label) pairs with many repetitions, some of them under several labels."""
    pair = st.tuples(st.text("abc", min_size=1, max_size=3), st.sampled_from(("x", "y", "z")))
    return draw(st.lists(pair, min_size=min_size, max_size=max_size))


def letters_dataset(
    count: int = 60, seed: int = 0, classes: int = 3, vocabulary: Vocabulary | None = None
) -> SequenceDataset:
    """A task that can be learned: the label is the last letter."""
    rng = np.random.default_rng(seed)
    alphabet = "abcdefgh"[:classes]
    texts = ["".join(rng.choice(list(alphabet), size=rng.integers(1, 9))) for _ in range(count)]
    return SequenceDataset.from_pairs(
        [(text, text[-1]) for text in texts], classes=list(alphabet), vocabulary=vocabulary
    )


def random_features(count: int = 30, seed: int = 0) -> SequenceDataset:
    """Float sequences of two classes, of which one is a little higher."""
    rng = np.random.default_rng(seed)
    traces = [rng.normal(number % 2, 1, (rng.integers(1, 9), INPUT_SIZE)) for number in range(count)]
    return SequenceDataset.from_sequences(traces, [number % 2 for number in range(count)])


small_tensors = st.tuples(
    st.sampled_from([torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool]),
    st.lists(st.integers(0, 3), max_size=2),
).map(lambda pair: torch.arange(int(np.prod(pair[1]))).reshape(pair[1]).to(pair[0]))


@st.composite
def record_datasets(draw: st.DrawFn, *, multi_label: bool | None = None) -> tuple[SequenceDataset, list[Any], Any]:
    """A dataset of records, of drawn fields, with or without context and several labels; and what it was made of."""
    rng = np.random.default_rng(draw(seeds))
    categories, numbers = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    names = [f"c{place}" for place in range(categories)] + [
        f"n{place}" for place in range(max(numbers, 1 - categories))
    ]
    missing = draw(st.booleans())

    def value(name: str) -> Any:
        if missing and rng.random() < 0.2:
            return None
        return rng.choice(["a", "b", "ç"]).item() if name.startswith("c") else float(rng.normal(50, 20))

    # The first sequence has one of each, so that the types of all fields are known.
    count = draw(st.integers(4, 7))
    records = [[{name: value(name) for name in names} for _ in range(rng.integers(1, 9))] for _ in range(count)]
    records[0][0] = {name: "a" if name.startswith("c") else 1.0 for name in names}
    context = None
    if draw(st.booleans()):
        context = [{"c": value("c"), "n": value("n")} for _ in range(count)]
        context[0] = {"c": "a", "n": 1.0}
    several = draw(st.booleans()) if multi_label is None else multi_label
    labels = [[one for one in "xyz" if rng.random() < 0.4] if several else "xyz"[place % 3] for place in range(count)]
    dataset = SequenceDataset.from_sequences(
        records, labels, context=context, multi_label=several, classes=list("xyz"), allow_missing=missing
    )
    return dataset, records, context


@st.composite
def record_models(draw: st.DrawFn, dataset: SequenceDataset, **options: Any) -> RNNClassifier:
    """A small model of records, whose facts and categories say something already."""
    missing = bool(dataset.sequences.values.isnan().any())
    model = RNNClassifier.for_dataset(
        dataset,
        cell=draw(st.sampled_from(BUILT_IN_CELLS)),
        hidden_size=draw(st.integers(1, 5)),
        num_layers=draw(st.integers(1, 2)),
        bidirectional=draw(st.booleans()),
        pooling=draw(st.sampled_from(POOLINGS)),
        missing=draw(st.sampled_from(("mean", "forward", "indicator"))) if missing else "error",
        standardize=draw(st.booleans()),
        seed=draw(seeds),
        **options,
    )
    generator = torch.Generator().manual_seed(draw(seeds))
    for parameter in [] if model.context_logits is None else model.context_logits.parameters():
        nn.init.normal_(parameter, generator=generator)
    return model
