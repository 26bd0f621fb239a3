"""RNNClassifier: embed, encode, pool, and a linear head."""

import copy
import inspect
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence
from typing_extensions import Self, Unpack

from seqclf.cells.protocol import CellFactory
from seqclf.cells.table import check_cell
from seqclf.checks import check_choice, check_int, check_probability, check_seed
from seqclf.choices import CellName, EmptyPolicy, MissingPolicy, PoolingName, PositionsName
from seqclf.data.dataset import SequenceDataset, read_pairs
from seqclf.data.ngrams import count_ngrams
from seqclf.defaults import is_auto, model_options
from seqclf.engine import recurrence
from seqclf.engine.dropout import Dropout, rarity_thresholds
from seqclf.engine.encoder import CellEncoder, build_encoder
from seqclf.engine.kernels import unknown_ids
from seqclf.engine.layout import Positions
from seqclf.engine.parts import Parts, Vectors
from seqclf.engine.plan import ExecutionName, ExecutionPlan, plan_forward, plan_inference, plan_training
from seqclf.engine.torch_backend import encode
from seqclf.errors import InvalidArgumentError
from seqclf.fields import Fields
from seqclf.forks import leave_lost_threads
from seqclf.models.context import ContextLogits, check_context
from seqclf.models.features import Features, FieldFeatures, warn_of_offsets
from seqclf.models.growing import (
    Unknown,
    count_labels,
    grow_context,
    grow_counts,
    grow_embedding,
    grow_head,
    grow_ngrams,
    grow_thresholds,
    more_classes,
)
from seqclf.models.inputs import check_inputs, check_keys, check_width
from seqclf.models.options import (
    ModelOptions,
    SymbolDropout,
    check_classes,
    check_model_fields,
    check_option_conflicts,
    check_pooling,
    check_symbol_dropout,
    check_vocabulary,
)
from seqclf.models.pooling import LastPooling, build_pooling, native_poolings, zero_padding
from seqclf.models.pretrained import Pretrained, read_embeddings
from seqclf.models.stream import Stream
from seqclf.models.symbols import (
    MOST_NGRAMS,
    NGramVectors,
    PositionVectors,
    check_ngrams,
    check_positions,
)
from seqclf.reading.columns import as_values
from seqclf.seeding import Draws
from seqclf.vocabulary import Vocabulary

__all__ = ["RNNClassifier"]

_LOOKED_AT = 1 << 16  # steps, to see whether features lie far from zero


_FUNCTIONS = {name: name for name in ("fit", "evaluate", "predict", "predict_proba", "save", "calibrate")}
_FUNCTIONS |= {"score": "evaluate"}


class RNNClassifier(nn.Module):
    """A recurrent classifier of whole sequences: a batch gives the answers of one sequence at a time.

    Symbols are embedded (features are taken as they are), run through stacked recurrent layers that start from zeros
    every time, pooled to one vector for each sequence, and mapped to logits by a linear layer. Whether a batch comes
    padded or packed, in which order, and with how much padding of which value changes neither logits nor gradients,
    up to the rounding of the floats. In training the same holds with dropout: what is dropped depends on the sequence's
    key, not on its batch.

    Args:
        num_classes: The number of classes C.
        vocab_size: The number of symbol ids, `len(vocabulary)`; id 0 is padding. For sequences of symbols.
        input_size: The number of features F of a step. For float sequences; exactly one of the two is given.
        embedding_dim: The size of the vectors that stand for symbols.
        cell: `"lstm"`, `"gru"`, `"rnn"` (tanh) or `"rnn_relu"`, which compiled kernels run over whole sequences; or a
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
        symbol_dropout: The probability with which, in training, a symbol becomes the unknown symbol; or `"rare"`: once
            in 1 + n times for a symbol that the training data have n times, which `for_dataset` counts, so that rare
            symbols teach what unknown ones mean.
        weight_dropout: The probability with which, in training, a weight from state to state is dropped: the same ones
            for the whole batch and all its steps. For built-in cells.
        recurrent_dropout: The probability with which, in training, a step does not see a feature of the state before:
            the same ones for all steps of a sequence. For built-in cells. torch's kernels cannot do this: where the
            compiled ones cannot be used, training goes step by step.
        variational_dropout: Whether `dropout` and `input_dropout` drop a feature for all steps of a sequence, or for
            each step anew.
        pooling: `"last"` (each direction's state after its last step), `"mean"`, `"max"`, `"attention"`; several of
            them, such as `("last", "max")`, side by side; or a module whose forward takes states
            (B, T, directions * H), zero behind the end of each sequence, and lengths, int64 (B,) on the CPU, and
            returns (B, S). S is the module's `output_size` where it has one, else directions * H.
        positions: Whether a step of symbols is read with its distance from the `"start"`, the `"end"` or `"both"`, each
            a vector that is added to the symbol's; distances of 127 and more share one. For sequences whose places have
            a meaning, such as aligned windows.
        ngrams: Of how many symbols, such as `(2, 3)`, n-grams are known: each that ends at a step adds a vector of its
            own to the symbol's. `for_dataset` counts them in the training data.
        ngram_min_freq: How often the training data must have an n-gram for it to get a vector; of more than 32,768 the
            most frequent do.
        ngram_dropout: The probability with which, in training, an n-gram is not seen.
        num_ngrams: How many n-grams have a vector, which `for_dataset` finds out.
        execution: What runs the built-in cells: `"native"`, the library's compiled kernels; `"padded"` or `"packed"`,
            torch's own; or `"auto"`, the compiled ones wherever they can be used. `explain_execution` says which, and
            why. Answers differ by rounding only; from the compiled kernels a sequence gets the same bits in any batch.
        truncate_steps: The most steps that gradients flow back through, for long sequences: states are carried from one
            window of so many steps to the next, from each direction's own start, but no gradient is. Logits stay the
            same. None lets gradients flow to the start.
        standardize: Whether to subtract the mean of each feature and divide by its standard deviation. `for_dataset`
            measures both on the training data; they are kept with the model. For float sequences.
        missing: What to do with missing values, NaN, in float sequences: `"error"` refuses them; `"mean"` puts the
            feature's training mean; `"forward"` its last known value, and the mean before there is one; `"indicator"`
            the mean, beside as many features more that tell with 1 what was missing.
        channels_first: Whether raw float arrays, as `predict` takes them, are (F, T) in place of (T, F). Batches are
            (B, T, F) in any case. `for_dataset` takes it over from the dataset.
        empty: What to do with sequences without a step: `"error"` refuses them; `"zero"` classifies a vector of zeros
            in place of the pooled states; `"skip"` leaves them out of training and measuring, and predicts None.
        multi_label: Whether a sequence may have several labels: `fit` then minimises binary cross-entropy, and
            `predict` gives tuples of those labels whose probability reaches `thresholds`, which `calibrate` chooses.
        fields: What the columns of records are, `dataset.fields`: numbers are read as features, categories as vectors
            of up to `embedding_dim` features, fewer where they have few ids. `input_size` is then their number.
        context_fields: What facts about whole sequences are, `dataset.context_fields`, which add to the logits.
        vocabulary: What encodes raw sequences for `predict`; kept with the model by `save`.
        classes: The labels of the classes, which `predict` returns; kept with the model by `save`.
        seed: The seed of the initial weights. None draws them from torch's global generator, as other modules do.

    Attributes:
        chosen: The names of the options that `for_dataset` has chosen by the data.
        pretrained_symbols: How many symbols began with a vector that `for_dataset` was given; None without.
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

    symbol_counts: Tensor | None
    thresholds: Tensor

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
        symbol_dropout: SymbolDropout = 0.0,
        weight_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        variational_dropout: bool = False,
        pooling: PoolingName | Sequence[PoolingName] | nn.Module = "last",
        positions: PositionsName | None = None,
        ngrams: int | Sequence[int] | None = None,
        ngram_min_freq: int = 2,
        ngram_dropout: float = 0.0,
        num_ngrams: int = 0,
        execution: ExecutionName = "auto",
        truncate_steps: int | None = None,
        standardize: bool = False,
        missing: MissingPolicy = "error",
        channels_first: bool = False,
        empty: EmptyPolicy = "error",
        multi_label: bool = False,
        fields: Fields | None = None,
        context_fields: Fields | None = None,
        vocabulary: Vocabulary | None = None,
        classes: Sequence[Any] | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.chosen: tuple[str, ...] = ()
        self.pretrained_symbols: int | None = None
        check_cell(cell)
        self.num_classes = check_int("num_classes", num_classes)
        self.embedding_dim = check_int("embedding_dim", embedding_dim)
        self.hidden_size = check_int("hidden_size", hidden_size)
        self.num_layers = check_int("num_layers", num_layers)
        self.bidirectional = bool(bidirectional)
        self.dropout = check_probability("dropout", dropout)
        self.input_dropout = check_probability("input_dropout", input_dropout)
        self.symbol_dropout: SymbolDropout = check_symbol_dropout(symbol_dropout)
        self.weight_dropout = check_probability("weight_dropout", weight_dropout)
        self.recurrent_dropout = check_probability("recurrent_dropout", recurrent_dropout)
        self.variational_dropout = bool(variational_dropout)
        self.execution = check_choice("execution", execution, get_args(ExecutionName))
        self.truncate_steps = None if truncate_steps is None else check_int("truncate_steps", truncate_steps)
        self.standardize = bool(standardize)
        self.missing = check_choice("missing", missing, get_args(MissingPolicy))
        self.channels_first = bool(channels_first)
        self.empty = check_choice("empty", empty, get_args(EmptyPolicy))
        self.cell: CellName | CellFactory = cell
        self.vocab_size, self.input_size = check_width(vocab_size, input_size)
        self.positions: PositionsName | None = check_positions(positions)
        self.ngrams = check_ngrams(ngrams, self.vocab_size)
        self.ngram_min_freq = check_int("ngram_min_freq", ngram_min_freq)
        self.ngram_dropout = check_probability("ngram_dropout", ngram_dropout)
        self.num_ngrams = check_int("num_ngrams", num_ngrams, minimum=0)
        check_option_conflicts(vars(self))
        self.multi_label = bool(multi_label)
        self.register_buffer(
            "thresholds", torch.full((self.num_classes,), 0.5, dtype=torch.float64) if self.multi_label else None
        )
        self.fields, self.context_fields = check_model_fields(fields, context_fields, self.input_size)
        self.vocabulary = check_vocabulary(vocabulary, self.vocab_size)
        self.classes = check_classes(classes, self.num_classes)
        with (
            torch.inference_mode(False),  # whose tensors could never be trained
            nullcontext() if seed is None else Draws(check_seed("seed", seed)),
        ):
            self._build(pooling)

    def _build(self, pooling: PoolingName | Sequence[PoolingName] | nn.Module) -> None:
        """Make the layers, in the order in which a forward call runs through them."""
        states_size = self.hidden_size * (2 if self.bidirectional else 1)
        self.embedding: nn.Embedding | None = None
        self.features: Features | FieldFeatures | None = None
        self.position_vectors: PositionVectors | None = None
        self.ngram_vectors: NGramVectors | None = None
        counts = None if self.symbol_dropout != "rare" else torch.zeros(self.vocab_size or 0, dtype=torch.int64)
        self.register_buffer("symbol_counts", counts)
        if self.vocab_size is not None:
            self.embedding = nn.Embedding(self.vocab_size, self.embedding_dim, padding_idx=0)
            self._read_more_than_symbols(self.vocab_size)
            width = self.embedding_dim
        elif self.input_size is not None:
            self.features = (
                Features(self.input_size, self.standardize, self.missing)
                if self.fields is None
                else FieldFeatures(self.fields, self.standardize, self.missing, self.embedding_dim)
            )
            width = self.features.output_size
        self.encoder = build_encoder(
            self.cell, width, self.hidden_size, num_layers=self.num_layers, bidirectional=self.bidirectional
        )
        self.pooling_names = check_pooling(pooling)
        if not isinstance(pooling, nn.Module):
            pooling = build_pooling(self.pooling_names, states_size, self.bidirectional)
        self.pooling = pooling
        self.head = nn.Linear(getattr(pooling, "output_size", states_size), self.num_classes)
        self.context_logits = (
            None if self.context_fields is None else ContextLogits(self.context_fields, self.num_classes)
        )

    def _read_more_than_symbols(self, vocab_size: int) -> None:
        """Make the vectors of distances and n-grams, as far as they are wanted."""
        if self.positions:
            self.position_vectors = PositionVectors(self.positions, self.embedding_dim)
        if self.ngrams is not None:
            self.ngram_vectors = NGramVectors(self.ngrams, vocab_size, self.num_ngrams, self.embedding_dim)

    @classmethod
    def for_dataset(
        cls,
        dataset: SequenceDataset,
        *,
        embeddings: Any = None,
        freeze_embeddings: bool = False,
        **options: Unpack[ModelOptions],
    ) -> Self:
        """Make a model that fits `dataset`, and remembers its vocabulary and classes.

        Args:
            dataset: The training data.
            embeddings: Pretrained vectors for symbols, whose size is then `embedding_dim`: a mapping; gensim's
                `KeyedVectors`; the path of a text file as GloVe, word2vec and fastText write them; an array (V, E) with
                a row for each id; or a pair of an array and the symbols of its rows. Symbols without a vector begin
                with random ones around the mean of the others. `print(model)` says how many have one.
            freeze_embeddings: Whether training leaves the vectors of symbols as they are.
            **options: Any argument of `RNNClassifier` other than sizes, vocabulary and classes. What is not given, or
                `"auto"`, is chosen by the data, as docs/defaults.md says: `model.config` tells all options, and
                `model.chosen` which of them were chosen.

        Example:
            >>> from seqclf import RNNClassifier, SequenceDataset
            >>> train = SequenceDataset.from_pairs([("Satoshi", "Japanese"), ("Rossi", "Italian")])
            >>> model = RNNClassifier.for_dataset(train, cell="gru", hidden_size=200)
            >>> model.num_classes, model.vocab_size, model.classes
            (2, 10, ('Italian', 'Japanese'))
            >>> model.config["hidden_size"], model.config["bidirectional"], "bidirectional" in model.chosen
            (200, True, True)
        """
        if not isinstance(dataset, SequenceDataset):
            raise InvalidArgumentError(
                f"dataset must be a SequenceDataset; got {type(dataset).__name__}. Make it with from_pairs."
            )
        given: dict[str, Any] = {name: value for name, value in options.items() if not is_auto(value)}
        given.setdefault("channels_first", dataset.channels_first)
        pretrained = None
        if embeddings is not None:
            pretrained = read_embeddings(embeddings, dataset.vocabulary, seed=given.get("seed"))
            if given.setdefault("embedding_dim", size := pretrained.vectors.shape[1]) != size:
                raise InvalidArgumentError(
                    f"embedding_dim must be the size of the embeddings, {size}; got {given['embedding_dim']!r}. "
                    "Leave it out."
                )
        chosen = {name: value for name, value in model_options(dataset, given).items() if name not in given}
        keys = cls._count_ngrams(dataset, {**given, **chosen})
        if keys is not None:
            given["num_ngrams"] = len(keys)
        model = cls(
            len(dataset.classes),
            vocab_size=None if dataset.vocabulary is None else len(dataset.vocabulary),
            input_size=dataset.input_size,
            multi_label=dataset.multi_label,
            fields=dataset.fields,
            context_fields=dataset.context_fields,
            vocabulary=dataset.vocabulary,
            classes=dataset.classes,
            **given,
            **chosen,
        )
        model.chosen = tuple(chosen)
        model._use_embeddings(pretrained, freeze=freeze_embeddings)
        if keys is not None and model.ngram_vectors is not None:
            model.ngram_vectors.keys.copy_(keys)
        if model.symbol_counts is not None:
            model.symbol_counts.copy_(
                torch.bincount(dataset.sequences.values.long(), minlength=len(model.symbol_counts))
            )
        if model.context_logits is not None and dataset.sequences.context is not None:
            model.context_logits.fit(dataset.sequences.context)
        if model.features is not None:
            model.features.fit(dataset.sequences.values)
            if not model.standardize and model.fields is None:
                warn_of_offsets(dataset.sequences.values[:_LOOKED_AT])
        return model

    def _use_embeddings(self, pretrained: Pretrained | None, *, freeze: bool) -> None:
        """Begin with the vectors of symbols that are given, and keep them if that is wanted."""
        if self.embedding is None:
            if freeze:
                raise InvalidArgumentError("freeze_embeddings must be False for float sequences; got True.")
            return
        if pretrained is not None:
            with torch.no_grad():
                self.embedding.weight.copy_(pretrained.vectors)
            self.pretrained_symbols = pretrained.covered
        self.embedding.weight.requires_grad_(not freeze)

    @staticmethod
    def _count_ngrams(dataset: SequenceDataset, options: dict[str, Any]) -> Tensor | None:
        """Return the keys of the n-grams of training data that are to have vectors; None where none are wanted."""
        if dataset.vocabulary is None:
            return None
        orders = check_ngrams(options.get("ngrams"), len(dataset.vocabulary))
        least = check_int("ngram_min_freq", options.get("ngram_min_freq", 2))
        if orders is None:
            return None
        return count_ngrams(dataset.sequences, orders, len(dataset.vocabulary), least, MOST_NGRAMS)

    def unknown(self, pairs: Iterable[tuple[Any, Any]]) -> Unknown:
        """Return which classes and symbols of new data the model does not know, and how often they occur.

        `extend` takes what this returns: `model.extend(*model.unknown(pairs))`. Of float sequences and records only
        classes are looked at.

        Args:
            pairs: (sequence, label) pairs, as `SequenceDataset.from_pairs` takes them.

        Raises:
            InvalidArgumentError: The model has no classes, or no vocabulary.
            InvalidDataError: An item is not a pair, or is not of the kind that the model takes.

        Example:
            >>> from seqclf import RNNClassifier, SequenceDataset
            >>> train = SequenceDataset.from_pairs([("Satoshi", "Japanese"), ("Rossi", "Italian")])
            >>> new = RNNClassifier.for_dataset(train).unknown([("Strauß", "German"), ("Sato", "Japanese")])
            >>> new.classes, new.symbols
            (Counter({'German': 1}), Counter({'r': 1, 'u': 1, 'ß': 1}))
        """
        if self.classes is None or (self.vocabulary is None and self.input_size is None):
            wanted = "classes" if self.classes is None else "a vocabulary"
            raise InvalidArgumentError(
                f"model must have {wanted} to tell what is unknown to it; got none. Make it with "
                "RNNClassifier.for_dataset."
            )
        sequences, labels = read_pairs(pairs)
        counts = count_labels(labels, multi_label=self.multi_label) if labels else Counter()
        classes = Counter({label: count for label, count in counts.items() if label not in self.classes})
        return Unknown(classes, Counter() if self.vocabulary is None else self.vocabulary.count_unknown(sequences))

    @torch.inference_mode(False)
    def extend(self, classes: Iterable[Any] = (), symbols: Iterable[Any] = ()) -> Self:
        """Return a new model that knows more classes and symbols; this one stays as it is.

        For sequences of symbols that were known before, the new model gives each class that was known before the same
        logit: bit for bit where the compiled kernels run, elsewhere up to rounding. Their order stays, and with it the
        answer. Then `fit` goes on with the new model, on data that have what is new, and some of what is old, which is
        else forgotten.

        A new class begins with the mean of the weights of the others. Its logit is the mean of theirs, so it is never
        the most probable, and k new ones beside C leave these C / (C + k) of the probability, or more. (Where there
        may be several labels, probabilities stay as they were, and a new label gets the highest of the thresholds, so
        that it is only answered beside an old one.) A new symbol begins with the mean of the vectors of the others;
        n-grams that hold it have none. Frozen vectors stay frozen, and new ones with them.

        Args:
            classes: Labels, which follow those that there are, in this order; those of a set are sorted. One that is
                there is passed over.
            symbols: Symbols, likewise, as `Vocabulary.extend` takes them. A mapping from symbols says how often
                training will have them, which `symbol_dropout="rare"` goes by; others are never dropped.

        Raises:
            InvalidArgumentError: The model has no classes, or no vocabulary, to add to; one that is given is not of
                their kind; or a part of the model is not as it was made.
            InvalidDataError: They are not in a list, or another collection.

        Example:
            >>> from seqclf import RNNClassifier, SequenceDataset, fit, predict
            >>> train = SequenceDataset.from_pairs([("aab", "a"), ("aba", "a"), ("bba", "b"), ("bab", "b")] * 8)
            >>> model = RNNClassifier.for_dataset(train, hidden_size=8, seed=0)
            >>> _ = fit(model, train, epochs=20, batch_size=4, progress=False)
            >>> pairs = [("aab", "a"), ("bab", "b"), ("cab", "c"), ("cba", "c")] * 8
            >>> larger = model.extend(*model.unknown(pairs))
            >>> larger.classes, larger.vocabulary.symbols, predict(larger, ["abb"]) == predict(model, ["abb"])
            (('a', 'b', 'c'), ('a', 'b', 'c'), True)
            >>> more = SequenceDataset.from_pairs(pairs, vocabulary=larger.vocabulary, classes=larger.classes)
            >>> _ = fit(larger, more, epochs=20, batch_size=4, progress=False)
            >>> predict(larger, ["abb", "cbb"])
            ['a', 'c']
        """
        model = copy.deepcopy(self)
        model._add_classes(more_classes(self.classes, classes))
        model._add_symbols(symbols)
        return model

    def _add_classes(self, classes: tuple[Any, ...] | None) -> None:
        """Take on all these classes, which begin with those that there are."""
        count = 0 if classes is None else len(classes) - self.num_classes
        if not count:
            return
        grow_head(self.head, count)
        if self.context_logits is not None:
            grow_context(self.context_logits, count)
        if self.multi_label:
            self.thresholds = grow_thresholds(self.thresholds, count)
        self.classes, self.num_classes = classes, self.num_classes + count

    def _add_symbols(self, symbols: Iterable[Any]) -> None:
        """Take on those of some symbols that are new."""
        given = symbols if isinstance(symbols, str | Mapping) else as_values(symbols, "symbols")
        if not given:
            return
        if self.vocabulary is None or self.vocab_size is None:
            kind = "without a vocabulary" if self.input_size is None else "of float sequences or records"
            raise InvalidArgumentError(
                f"symbols must be left out for a model {kind}; got some. Make a model anew where fields have new "
                "categories; pass vocabulary= where the model was made without."
            )
        vocabulary = self.vocabulary.extend(given)
        new = vocabulary.symbols[len(self.vocabulary.symbols) :]
        if new:
            grow_embedding(self.embedding, len(new))
        if new and self.ngram_vectors is not None:
            grow_ngrams(self.ngram_vectors, len(vocabulary))
        if self.symbol_counts is not None:
            self.symbol_counts = grow_counts(self.symbol_counts, new, given)
        self.vocabulary, self.vocab_size = vocabulary, len(vocabulary)

    def forward(
        self,
        inputs: Tensor | PackedSequence,
        lengths: Tensor | None = None,
        *,
        context: Tensor | None = None,
        keys: Tensor | None = None,
    ) -> Tensor:
        """Return the logits, shape (B, C), in the order of the inputs.

        Args:
            inputs: Padded ids (B, T) or features (B, T, F); or a `PackedSequence` of such sequences.
            lengths: The true lengths, integers of shape (B,), best on the CPU. A packed sequence knows its own.
            context: Facts about each whole sequence, (B, K), such as `batch.context`, for a model that takes them.
            keys: What decides in training what is dropped of each sequence: int64 of shape (B,), such as
                `batch.indices + epoch * len(dataset)` for a batch from `SequenceDataset.batch`. The same key, the same
                choices, in whatever batch. None draws them from torch's global generator. (`weight_dropout` always
                draws from there.)

        Raises:
            InvalidDataError: Shapes or types do not fit the model, or lengths do not fit the inputs.
            InvalidArgumentError: There is a context, and the model takes none, or the other way round.
        """
        lengths = check_inputs(inputs, lengths, self.input_size, self.empty)
        check_context(context, self.context_fields, len(lengths))
        logits = self._logits(inputs, lengths, self._dropout_for(check_keys(keys, len(lengths)), len(lengths)))
        return self.add_context(logits, context)

    def infer(
        self, inputs: Tensor | PackedSequence, lengths: Tensor | None = None, *, context: Tensor | None = None
    ) -> Tensor:
        """Return what a forward call returns in eval mode, whatever the mode; hooks of the model are not called."""
        logits = self._logits(inputs, check_inputs(inputs, lengths, self.input_size, self.empty), None)
        return self.add_context(logits, context)

    def pool(self, inputs: Tensor | PackedSequence, lengths: Tensor) -> Tensor:
        """Return the pooled vectors (B, S), which the head reads, of sequences of which none is empty; none dropped."""
        return self._pool(inputs, lengths, None, self.plan(lengths))

    def add_context(self, logits: Tensor, context: Tensor | None) -> Tensor:
        """Return logits (B, C), or those of prefixes (B, T, C), with what facts about the sequences (B, K) add."""
        if self.context_logits is None or context is None:
            return logits
        added: Tensor = self.context_logits(context.to(self.device)).to(logits)
        return logits + (added if logits.ndim == added.ndim else added[:, None])

    def _logits(self, inputs: Tensor | PackedSequence, lengths: Tensor, dropout: Dropout | None) -> Tensor:
        leave_lost_threads()
        plan = self.plan(lengths, dropout)
        if plan.scope == "classifier":
            return self._run_native(self.parts, inputs, lengths, dropout)
        if bool(lengths.all()):
            pooled = self._pool(inputs, lengths, dropout, plan)
        else:  # the policy is "zero"; a packed batch has no empty sequences
            pooled = self._pool_present(cast(Tensor, inputs), lengths, dropout, plan)
        if dropout is not None:
            pooled = dropout.drop_pooled(pooled)
        logits: Tensor = self.head(pooled)
        return logits

    def plan(self, lengths: Tensor, dropout: Dropout | None = None) -> ExecutionPlan:
        """Return how a forward call runs a batch of such lengths, int64 (B,)."""
        return plan_forward(
            self,
            lengths,
            drops_states=dropout is not None and bool(dropout.states),
            truncates=self.truncate_steps is not None and torch.is_grad_enabled(),
        )

    def plan_inference(self, lengths: Tensor) -> ExecutionPlan:
        """Return how `predict` and its like run sequences of such lengths, int64 (B,)."""
        return plan_inference(self, lengths, is_subclass=type(self) is not RNNClassifier)

    def plan_training(self, lengths: Tensor) -> ExecutionPlan:
        """Return how `fit` computes the gradients of sequences of such lengths, int64 (B,)."""
        return plan_training(self, lengths, is_subclass=type(self) is not RNNClassifier)

    @property
    def parts(self) -> Parts:
        """What the compiled kernels need to know, from symbols to logits."""
        return Parts(cast(nn.RNNBase, self.encoder), self.vectors, self.native_poolings, self.head)

    @property
    def native_poolings(self) -> tuple[tuple[str, nn.Module], ...]:
        """The poolings as the compiled kernels know them; none where they do not."""
        return native_poolings(self.pooling)

    def _run_native(
        self, parts: Parts, inputs: Tensor | PackedSequence, lengths: Tensor, dropout: Dropout | None
    ) -> Tensor:
        """Return the logits, or whatever the parts end with."""
        if self.features is not None:
            inputs = self.features(inputs, self.head.weight.dtype)
        elif self.embedding is None:
            inputs = inputs.to(self.head.weight.dtype)
        return recurrence.run(parts, inputs, lengths, dropout, self._truncation)

    @property
    def _truncation(self) -> int | None:
        return self.truncate_steps if torch.is_grad_enabled() else None

    def _pool_present(self, inputs: Tensor, lengths: Tensor, dropout: Dropout | None, plan: ExecutionPlan) -> Tensor:
        """Return the pooled states (B, S) of sequences of which some are empty, which get zeros."""
        present = torch.nonzero(lengths)[:, 0]
        zeros = self.head.weight.new_zeros(len(lengths), self.head.in_features)
        if not len(present):
            return zeros
        rows = present.to(self.device)
        pooled = self._pool(inputs[rows], lengths[present], dropout and dropout.select(rows), plan)
        return zeros.to(pooled.dtype).index_copy(0, rows, pooled)

    def prefix_logits(
        self,
        inputs: Tensor | PackedSequence,
        lengths: Tensor | None = None,
        *,
        context: Tensor | None = None,
    ) -> Tensor:
        """Return the logits (B, T, C) of every prefix of every sequence, in one pass; nothing is dropped.

        `[b, t]` is what `forward` in eval mode gives for the first t + 1 steps of sequence b. Behind the end of a
        sequence they are finite, and otherwise unspecified.

        Args:
            inputs: As for `forward`.
            lengths: As for `forward`, and not 0.
            context: As for `forward`.

        Raises:
            InvalidArgumentError: The model reads backwards, or its pooling has no `prefixes`.
            InvalidDataError: As `forward`.
        """
        self.check_prefixes()
        lengths = check_inputs(inputs, lengths, self.input_size, "error")
        pooling: Any = self.pooling
        states = self._encode(inputs, lengths, None, self.plan(lengths))
        return self.add_context(self.head(pooling.prefixes(states)[0]), context)

    def stream(self, context: Any = None) -> Stream:
        """Return a reader that takes one symbol, feature row or record at a time, and answers after each.

        Args:
            context: Facts about the sequence, for a model that takes them: a mapping from names to values.

        Raises:
            InvalidArgumentError: The model reads backwards, or its pooling has no `prefixes`; or there is a context,
                and the model takes none, or the other way round.

        Example:
            >>> import numpy as np
            >>> from seqclf import RNNClassifier, Vocabulary, predict_proba
            >>> model = RNNClassifier(2, vocab_size=4, vocabulary=Vocabulary("ab"), hidden_size=8, seed=0)
            >>> stream = model.stream()
            >>> for symbol in "abb":
            ...     probabilities = stream.push(symbol)
            >>> np.allclose(probabilities, predict_proba(model, ["abb"])[0])
            True
        """
        self.check_prefixes()
        return Stream(self, context)

    def check_prefixes(self) -> None:
        """Raise unless what the model makes of a prefix does not depend on what follows."""
        if self.bidirectional:
            raise InvalidArgumentError(
                "bidirectional must be False to classify prefixes as they grow; got True. A backward direction starts "
                "at the end, which is not known yet. Make the model with bidirectional=False."
            )
        if self.positions in {"end", "both"}:
            raise InvalidArgumentError(
                f"positions must be None or 'start' to classify prefixes as they grow; got {self.positions!r}. "
                "How far the end is, is not known yet. Make the model with positions='start'."
            )
        if not hasattr(self.pooling, "prefixes"):
            raise InvalidArgumentError(
                f"pooling must have a method prefixes to classify prefixes; got {type(self.pooling).__name__}. "
                "Add it, or use a built-in pooling."
            )

    def _pool(
        self, inputs: Tensor | PackedSequence, lengths: Tensor, dropout: Dropout | None, plan: ExecutionPlan
    ) -> Tensor:
        """Return the pooled states (B, S) of sequences of which none is empty."""
        if type(self.pooling) is LastPooling:  # then most backends need not lay out all the others
            return self._encode(inputs, lengths, dropout, plan, last_only=True)
        states = self._encode(inputs, lengths, dropout, plan)
        if not self.pooling_names:  # a user's own pooling may rely on zeros
            states = zero_padding(states, lengths)
        pooled: Tensor = self.pooling(states, lengths)
        return pooled

    def _encode(
        self,
        inputs: Tensor | PackedSequence,
        lengths: Tensor,
        dropout: Dropout | None,
        plan: ExecutionPlan,
        *,
        last_only: bool = False,
    ) -> Tensor:
        """Return the states (B, T, directions * H) of the last layer, or only the last ones, (B, directions * H).

        What stands behind the end of a sequence is finite.
        """
        if plan.backend == "native":
            assert not isinstance(self.encoder, CellEncoder)
            pooling = (("last", self.pooling),) if last_only else ()
            return self._run_native(Parts(self.encoder, self.vectors, pooling), inputs, lengths, dropout)
        return encode(
            plan.backend,
            self.encoder,
            self.read_steps(inputs, lengths, dropout),
            lengths,
            dropout=dropout,
            truncate_steps=self._truncation,
            last_only=last_only,
        )

    @property
    def vectors(self) -> Vectors | None:
        """The vectors that symbols are read as, where looking them up is all that the embedding does."""
        table = self.embedding
        if type(table) is not nn.Embedding or table.max_norm is not None or table.scale_grad_by_freq or table.sparse:
            return None
        if table.padding_idx != 0:
            return None
        positions, ngrams = self.position_vectors, self.ngram_vectors
        start, end = (None, None) if positions is None else (positions.start, positions.end)
        if ngrams is None or not len(ngrams.keys):
            return Vectors(table.weight, start, end)
        return Vectors(table.weight, start, end, ngrams.weight, ngrams.keys, ngrams.orders)

    def read_steps(
        self, inputs: Tensor | PackedSequence, lengths: Tensor, dropout: Dropout | None = None, first: int = 0
    ) -> Tensor | PackedSequence:
        """Return the vectors (B, T, E) that the encoder reads: those that stand for ids, or the features; or packed.

        Of symbols and n-grams some are dropped; of the features of the vectors, none yet. `first` is the number of the
        first step, where the others were read before.
        """
        if self.features is not None:
            prepared: Tensor | PackedSequence = self.features(inputs, self.head.weight.dtype)
            return prepared
        if self.embedding is None:
            return inputs
        if isinstance(inputs, PackedSequence) and (self.position_vectors is not None or self.ngram_vectors is not None):
            inputs, _ = pad_packed_sequence(inputs, batch_first=True)
        ids: Tensor = inputs.data if isinstance(inputs, PackedSequence) else inputs
        positions = (
            Positions.of_packed(inputs) if isinstance(inputs, PackedSequence) else Positions.of_padded(*ids.shape)
        )
        if not isinstance(inputs, PackedSequence):  # whatever stands behind the ends
            ids = ids.masked_fill((positions.step >= lengths[:, None]).to(ids.device), 0)
        if dropout is not None:
            ids = dropout.drop_symbols(ids, positions)
        try:
            vectors: Tensor = self.embedding(ids)
        except IndexError as error:
            raise unknown_ids(len(self.embedding.weight)) from error
        if self.ngram_vectors is not None:
            rows = self.ngram_vectors.rows(ids)
            vectors = vectors + self.ngram_vectors(rows if dropout is None else dropout.drop_ngrams(rows, positions))
        if self.position_vectors is not None:
            vectors = vectors + self.position_vectors(lengths, ids.shape[1], first)
        return inputs._replace(data=vectors) if isinstance(inputs, PackedSequence) else vectors

    def _dropout_for(self, keys: Tensor | None, rows: int) -> Dropout | None:
        """Return what a forward call for `rows` sequences drops; None where it drops nothing."""
        if not self.training or not self.drops:
            return None
        if keys is None and not self.drops_by_key:
            keys = torch.zeros(rows, dtype=torch.int64)
        elif keys is None:
            keys = torch.randint(torch.iinfo(torch.int64).max, ()) + torch.arange(rows)  # one draw, for any batch size
        return self.new_dropout(keys.to(self.device))

    def new_dropout(self, keys: Tensor) -> Dropout:
        """Return what training drops of sequences with such keys, int64 (B,)."""
        return Dropout(
            keys,
            rate=self.dropout,
            inputs=self.input_dropout,
            symbols=self._symbol_rates,
            ngrams=self.ngram_dropout,
            states=self.recurrent_dropout,
            weights=self.weight_dropout,
            variational=self.variational_dropout,
        )

    @property
    def _symbol_rates(self) -> float | Tensor:
        if self.symbol_counts is not None:
            return rarity_thresholds(self.symbol_counts)
        return 0.0 if self.symbol_dropout == "rare" else self.symbol_dropout

    @property
    def drops(self) -> bool:
        """Whether the model drops anything in training."""
        return bool(self.drops_by_key or self.weight_dropout)

    @property
    def drops_by_key(self) -> bool:
        """Whether it drops anything that depends on the sequence."""
        rates = (self.dropout, self.input_dropout, self.symbol_dropout, self.recurrent_dropout, self.ngram_dropout)
        return any(rates)

    def __getattr__(self, name: str) -> Any:
        """Say where what other libraries have as methods of a model is found."""
        if name in _FUNCTIONS:
            raise AttributeError(
                f"RNNClassifier has no method {name!r}: it is a function, seqclf.{_FUNCTIONS[name]}(model, ...). "
                "seqclf.sklearn.SequenceClassifier has methods as scikit-learn does."
            )
        return super().__getattr__(name)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.head.weight.device

    def extra_repr(self) -> str:
        """Return what torch shows of the model besides its layers."""
        told = [f"{self.num_classes} classes", f"{self.num_parameters:,} parameters"]
        if self.pretrained_symbols is not None and self.vocab_size is not None:
            told.append(f"pretrained vectors for {self.pretrained_symbols:,} of {self.vocab_size - 2:,} symbols")
        if self.chosen:
            told.append("chosen: " + ", ".join(f"{name}={self.config[name]!r}" for name in self.chosen))
        return ", ".join(told)

    @property
    def config(self) -> dict[str, Any]:
        """All options of the model, by the names of the arguments; sizes too, but not its vocabulary and classes."""
        pooling = self.pooling_names[0] if len(self.pooling_names) == 1 else self.pooling_names or self.pooling
        own = {name: getattr(self, name) for name in OPTIONS}
        return own | {"cell": self.cell, "pooling": pooling}

    @property
    def num_parameters(self) -> int:
        """The number of trainable weights."""
        return sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)


# The arguments that are attributes of the same name; the others need a form of their own, or are not kept.
_APART = ("self", "cell", "pooling", "classes", "vocabulary", "fields", "context_fields", "seed")
OPTIONS = [name for name in inspect.signature(RNNClassifier.__init__).parameters if name not in _APART]


def check_is_model(name: str, model: Any) -> None:
    """Raise unless `model` is an `RNNClassifier` as the library made it."""
    if not isinstance(model, RNNClassifier):
        inner = isinstance(getattr(model, "module", None), RNNClassifier)
        remedy = "Pass model.module" if inner else "Make it with RNNClassifier.for_dataset(train)"
        raise InvalidArgumentError(f"{name} must be an RNNClassifier; got {type(model).__name__}. {remedy}.")
    if not isinstance(getattr(model.head, "weight", None), Tensor):
        raise InvalidArgumentError(
            f"{name} must have a head whose weight is a tensor, as nn.Linear has; got {type(model.head).__name__}. "
            "Quantised models, and heads of several layers, are not taken: put further layers into a pooling."
        )
