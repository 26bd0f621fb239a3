"""RNNClassifier: embed, encode, pool, and a linear head."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, TypedDict, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from typing_extensions import Self, Unpack

from seqclf.checks import check_choice, check_int, check_probability
from seqclf.data.dataset import SequenceDataset
from seqclf.errors import InvalidArgumentError, InvalidDataError
from seqclf.models.cells import CellFactory, CellName, check_cell
from seqclf.models.dropout import SymbolDropout
from seqclf.models.encoder import build_encoder
from seqclf.models.execution import ExecutionName, encode
from seqclf.models.inputs import check_inputs
from seqclf.models.pooling import PoolingName, build_pooling, zero_padding
from seqclf.seeding import seeded
from seqclf.vocabulary import Vocabulary

__all__ = ["RNNClassifier"]


class ModelOptions(TypedDict, total=False):
    """The arguments of `RNNClassifier` that a dataset does not determine."""

    embedding_dim: int
    cell: CellName | CellFactory
    hidden_size: int
    num_layers: int
    bidirectional: bool
    dropout: float
    input_dropout: float
    symbol_dropout: float
    weight_dropout: float
    pooling: PoolingName | Sequence[PoolingName] | nn.Module
    execution: ExecutionName
    seed: int | None


class RNNClassifier(nn.Module):
    """A recurrent classifier of whole sequences: a batch gives the answers of one sequence at a time.

    Symbols are embedded (features are taken as they are), run through stacked recurrent layers that start from zeros
    every time, pooled to one vector for each sequence, and mapped to logits by a linear layer. Whether a batch comes
    padded or packed, in which order, and with how much padding of which value changes neither logits nor gradients,
    up to the rounding of the floats. (Dropout draws at random, so in training it is the exception.)

    Args:
        num_classes: The number of classes C.
        vocab_size: The number of symbol ids, `len(vocabulary)`; id 0 is padding. For sequences of symbols.
        input_size: The number of features F of a step. For float sequences; exactly one of the two is given.
        embedding_dim: The size of the vectors that stand for symbols.
        cell: `"lstm"`, `"gru"`, `"rnn"` (tanh) or `"rnn_relu"`, which run whole sequences in torch's own kernels; or a
            callable `(input_size, hidden_size) -> nn.Module` that makes cells. A cell maps `(x_t, state)` to the new
            state: `x_t` has the shape (n, input_size), the state is a tensor (n, hidden_size) or a tuple whose first
            is the output, and None at the first step means zeros. `nn.LSTMCell` and `nn.GRUCell` are such callables.
        hidden_size: The size H of the state of a layer in one direction.
        num_layers: The number of layers.
        bidirectional: Whether each layer also reads backwards; states are then the two halves, 2 * H wide.
        dropout: The probability with which, in training, outputs of a layer are dropped before the next layer and
            features of the pooled vector before the head.
        input_dropout: The probability with which, in training, features of the embedded symbols, or of the inputs, are
            dropped.
        symbol_dropout: The probability with which, in training, a symbol becomes the unknown symbol.
        weight_dropout: The probability with which, in training, a weight from state to state is dropped: the same ones
            for the whole batch and all its steps. For built-in cells.
        pooling: `"last"` (each direction's state after its last step), `"mean"`, `"max"`, `"attention"`; several of
            them, such as `("last", "max")`, side by side; or a module whose forward takes states
            (B, T, directions * H), zero behind the end of each sequence, and lengths, int64 (B,) on the CPU, and
            returns (B, S). S is the module's `output_size` where it has one, else directions * H.
        execution: How to run torch's own kernels: `"padded"`, `"packed"`, or `"auto"` for what measures faster on the
            model's device. The results agree.
        vocabulary: What encodes raw sequences for `predict`; kept with the model by `save`.
        classes: The labels of the classes, which `predict` returns; kept with the model by `save`.
        seed: The seed of the initial weights. None draws them from torch's global generator, as other modules do.

    Attributes:
        encoder: An `nn.LSTM`, `nn.GRU` or `nn.RNN` (batch first) for the built-in cells, so that weights go both ways
            with `load_state_dict`; a `CellEncoder` for others.

    Raises:
        InvalidArgumentError: An argument is out of range or at odds with another.

    Example:
        >>> import torch
        >>> from seqclf import RNNClassifier, pad_collate
        >>> model = RNNClassifier(num_classes=3, vocab_size=10, cell="gru", hidden_size=8, seed=0)
        >>> batch = pad_collate([([2, 3, 4, 5], 0), ([6, 7], 1)])
        >>> model(batch.inputs, batch.lengths).shape
        torch.Size([2, 3])
        >>> alone = model(torch.tensor([[6, 7]]), torch.tensor([2]))
        >>> torch.allclose(alone[0], model(batch.inputs, batch.lengths)[1])
        True
    """

    def __init__(
        self,
        num_classes: int,
        *,
        vocab_size: int | None = None,
        input_size: int | None = None,
        embedding_dim: int = 64,
        cell: CellName | CellFactory = "lstm",
        hidden_size: int = 128,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        symbol_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        pooling: PoolingName | Sequence[PoolingName] | nn.Module = "last",
        execution: ExecutionName = "auto",
        vocabulary: Vocabulary | None = None,
        classes: Sequence[Any] | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        check_cell(cell)
        self.num_classes = check_int("num_classes", num_classes)
        self.embedding_dim = check_int("embedding_dim", embedding_dim)
        self.hidden_size = check_int("hidden_size", hidden_size)
        self.num_layers = check_int("num_layers", num_layers)
        self.bidirectional = bool(bidirectional)
        self.dropout_rate = check_probability("dropout", dropout)
        self.input_dropout_rate = check_probability("input_dropout", input_dropout)
        self.symbol_dropout_rate = check_probability("symbol_dropout", symbol_dropout)
        self.weight_dropout_rate = check_probability("weight_dropout", weight_dropout)
        self.execution = check_choice("execution", execution, get_args(ExecutionName))
        self.cell = cell
        self.vocab_size, self.input_size = _check_width(vocab_size, input_size)
        if self.input_size is not None and self.symbol_dropout_rate:
            raise InvalidArgumentError(
                f"symbol_dropout must be 0 for float sequences; got {symbol_dropout!r}. Use input_dropout."
            )
        if callable(cell) and self.weight_dropout_rate:
            raise InvalidArgumentError(
                f"weight_dropout must be 0 for cells of your own; got {weight_dropout!r}. Drop weights in the cell."
            )
        self.vocabulary = _check_vocabulary(vocabulary, self.vocab_size)
        self.classes = _check_classes(classes, self.num_classes)
        with nullcontext() if seed is None else seeded(check_int("seed", seed, minimum=0)):
            self._build(pooling)

    def _build(self, pooling: PoolingName | Sequence[PoolingName] | nn.Module) -> None:
        """Make the layers, in the order in which a forward call runs through them."""
        states_size = self.hidden_size * (2 if self.bidirectional else 1)
        if self.vocab_size is not None:
            self.embedding: nn.Module = nn.Embedding(self.vocab_size, self.embedding_dim, padding_idx=0)
        else:
            self.embedding = nn.Identity()
        self.symbol_dropout = SymbolDropout(self.symbol_dropout_rate)
        self.input_dropout = nn.Dropout(self.input_dropout_rate)
        width = self.embedding_dim if self.input_size is None else self.input_size
        self.encoder = build_encoder(
            self.cell,
            width,
            self.hidden_size,
            num_layers=self.num_layers,
            bidirectional=self.bidirectional,
            dropout=self.dropout_rate,
        )
        self.pooling_names = _check_pooling(pooling)
        if not isinstance(pooling, nn.Module):
            pooling = build_pooling(self.pooling_names, states_size, self.bidirectional)
        self.pooling = pooling
        self.dropout = nn.Dropout(self.dropout_rate)
        self.head = nn.Linear(getattr(pooling, "output_size", states_size), self.num_classes)

    @classmethod
    def for_dataset(cls, dataset: SequenceDataset, **options: Unpack[ModelOptions]) -> Self:
        """Make a model that fits `dataset`, and remembers its vocabulary and classes.

        Args:
            dataset: The training data.
            **options: Any argument of `RNNClassifier` other than sizes, vocabulary and classes.

        Example:
            >>> from seqclf import RNNClassifier, SequenceDataset
            >>> train = SequenceDataset.from_pairs([("Satoshi", "Japanese"), ("Rossi", "Italian")])
            >>> model = RNNClassifier.for_dataset(train, cell="gru", hidden_size=200)
            >>> model.num_classes, model.vocab_size, model.classes
            (2, 10, ('Italian', 'Japanese'))
        """
        return cls(
            len(dataset.classes),
            vocab_size=None if dataset.vocabulary is None else len(dataset.vocabulary),
            input_size=dataset.input_size,
            vocabulary=dataset.vocabulary,
            classes=dataset.classes,
            **options,
        )

    def forward(self, inputs: Tensor | PackedSequence, lengths: Tensor | None = None) -> Tensor:
        """Return the logits, shape (B, C), in the order of the inputs.

        Args:
            inputs: Padded ids (B, T) or features (B, T, F); or a `PackedSequence` of such sequences.
            lengths: The true lengths, integers of shape (B,), best on the CPU. A packed sequence knows its own.

        Raises:
            InvalidDataError: Shapes or types do not fit the model, or lengths do not fit the inputs.
        """
        lengths = check_inputs(inputs, lengths, self.input_size)
        if self.input_size is not None:
            inputs = inputs.to(self.head.weight.dtype)
        states = encode(
            self.encoder,
            self._embed,
            inputs,
            lengths,
            execution=self.execution,
            weight_dropout=self.weight_dropout_rate,
        )
        if not self.pooling_names:  # a user's own pooling may rely on zeros
            states = zero_padding(states, lengths)
        logits: Tensor = self.head(self.dropout(self.pooling(states, lengths)))
        return logits

    def _embed(self, steps: Tensor) -> Tensor:
        """Return the vectors (..., E) that stand for `steps`, ids of shape (...) or features (..., F)."""
        try:
            vectors = self.embedding(self.symbol_dropout(steps) if self.input_size is None else steps)
        except IndexError as error:
            raise InvalidDataError(
                f"ids must be from 0 to {(self.vocab_size or 0) - 1}; got others: {error}. "
                "Encode with the vocabulary that the model was made for."
            ) from error
        dropped: Tensor = self.input_dropout(vectors)
        return dropped

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.head.weight.device

    @property
    def num_parameters(self) -> int:
        """The number of trainable weights."""
        return sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)


def _check_width(vocab_size: int | None, input_size: int | None) -> tuple[int | None, int | None]:
    if (vocab_size is None) == (input_size is None):
        raise InvalidArgumentError(
            f"exactly one of vocab_size and input_size must be given; got {vocab_size!r} and {input_size!r}. "
            "Give vocab_size for symbols, input_size for float features."
        )
    if vocab_size is not None:
        return check_int("vocab_size", vocab_size, minimum=2), None
    return None, check_int("input_size", input_size)


def _check_pooling(pooling: Any) -> tuple[PoolingName, ...]:
    """Return the names of the poolings; none for a module of the user's own."""
    if isinstance(pooling, nn.Module):
        return ()
    names = (pooling,) if isinstance(pooling, str) or not isinstance(pooling, Sequence) else tuple(pooling)
    if not names:
        raise InvalidArgumentError("pooling must name at least one pooling; got none. Pass, for instance, 'last'.")
    return tuple(check_choice("pooling", name, get_args(PoolingName)) for name in names)


def _check_vocabulary(vocabulary: Vocabulary | None, vocab_size: int | None) -> Vocabulary | None:
    if vocabulary is not None and len(vocabulary) != vocab_size:
        raise InvalidArgumentError(
            f"vocab_size must be the size of the vocabulary, {len(vocabulary)}; got {vocab_size}. "
            "Pass vocab_size=len(vocabulary)."
        )
    return vocabulary


def _check_classes(classes: Sequence[Any] | None, num_classes: int) -> tuple[Any, ...] | None:
    if classes is not None and len(classes) != num_classes:
        raise InvalidArgumentError(
            f"classes must hold {num_classes} labels, one for each class; got {len(classes)}. Pass dataset.classes."
        )
    return None if classes is None else tuple(classes)
