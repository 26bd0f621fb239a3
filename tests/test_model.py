"""RNNClassifier: what it is made of, its edges, and its errors."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

from seqclf import RNNClassifier, SequenceDataset, Vocabulary, pack_collate, pad_collate
from seqclf.engine.encoder import CellEncoder
from seqclf.engine.layout import packed_lengths
from seqclf.errors import InvalidArgumentError, InvalidDataError
from tests import reference, strategies


def tiny(**options: Any) -> RNNClassifier:
    return RNNClassifier(**({"num_classes": 3, "vocab_size": 7, "hidden_size": 4, "seed": 0} | options)).eval()


def test_the_contract_of_the_arguments() -> None:
    model = RNNClassifier(
        num_classes=18,
        vocab_size=59,
        embedding_dim=64,
        cell="lstm",
        hidden_size=128,
        num_layers=1,
        bidirectional=False,
        dropout=0.0,
        pooling="last",
    )
    torch_module = nn.LSTM(64, 128)
    assert model.encoder.state_dict().keys() == torch_module.state_dict().keys()
    assert model.num_parameters == 59 * 64 + sum(p.numel() for p in torch_module.parameters()) + 18 * 129
    assert model.device == torch.device("cpu")


@pytest.mark.parametrize("cell", strategies.CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_shape_of_the_logits(cell: Any, bidirectional: bool) -> None:
    model = tiny(cell=cell, num_layers=2, bidirectional=bidirectional)
    assert model(torch.ones(5, 6, dtype=torch.int64), torch.tensor([1, 2, 3, 6, 4])).shape == (5, 3)
    assert model(torch.ones(1, 1, dtype=torch.int32), [1]).shape == (1, 3)


def test_the_seed_decides_the_weights_and_leaves_the_global_generator() -> None:
    before = torch.random.get_rng_state()
    first, second, other = tiny(seed=5), tiny(seed=5), tiny(seed=6)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.head.weight, other.head.weight)
    torch.manual_seed(3)
    third = tiny(seed=None)
    torch.manual_seed(3)
    assert torch.equal(third.head.weight, tiny(seed=None).head.weight)


def test_float64_features_fit_a_float32_model() -> None:
    model = tiny(vocab_size=None, input_size=2)
    inputs = torch.ones(2, 3, 2, dtype=torch.float64)
    assert model(inputs, torch.tensor([3, 1])).dtype == torch.float32
    packed = pack_sequence([inputs[0], inputs[1, :1]], enforce_sorted=False)
    assert torch.allclose(model(packed), model(inputs, torch.tensor([3, 1])))


def test_a_packed_sequence_may_come_with_its_own_lengths() -> None:
    model = tiny()
    batch = pack_collate([([1, 2], 0), ([3], 1), ([4, 5, 6], 2)])
    assert torch.equal(model(batch.inputs, batch.lengths), model(batch.inputs))


@given(strategies.id_sequences())
def test_packed_lengths_come_in_the_original_order(sequences: list[Tensor]) -> None:
    lengths = [len(sequence) for sequence in sequences]
    assert packed_lengths(pack_sequence(sequences, enforce_sorted=False)).tolist() == lengths
    ordered = sorted(sequences, key=len, reverse=True)
    assert packed_lengths(pack_sequence(ordered)).tolist() == sorted(lengths, reverse=True)


@pytest.mark.parametrize("cell", ["lstm", nn.GRUCell])
@pytest.mark.parametrize("execution", ["padded", "packed"])
def test_dropout_acts_in_training_only_and_between_layers(cell: Any, execution: Any) -> None:
    model = tiny(cell=cell, num_layers=2, bidirectional=True, dropout=0.9, execution=execution)
    inputs, lengths = torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([3, 2])
    assert torch.equal(model(inputs, lengths), model(inputs, lengths))
    model.train()
    torch.manual_seed(0)
    first, second = model(inputs, lengths), model(inputs, lengths)
    assert not torch.allclose(first, second)


@pytest.mark.parametrize("execution", ["padded", "packed"])
def test_input_dropout_acts_in_training_only(execution: Any) -> None:
    inputs, lengths = torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([3, 2])
    model = tiny(input_dropout=0.5, execution=execution)
    assert torch.equal(model(inputs, lengths), tiny(execution=execution)(inputs, lengths))
    torch.manual_seed(0)
    assert not torch.allclose(model.train()(inputs, lengths), model(inputs, lengths))


@pytest.mark.parametrize("execution", ["padded", "packed"])
def test_symbol_dropout_makes_symbols_unknown_in_training_only(execution: Any) -> None:
    inputs, lengths = torch.tensor([[3, 2, 3], [4, 5, 0]]), torch.tensor([3, 2])
    model = tiny(symbol_dropout=0.999, execution=execution)
    plain = tiny(execution=execution)
    assert torch.equal(model(inputs, lengths), plain(inputs, lengths))
    torch.manual_seed(0)
    unknown = torch.tensor([[1, 1, 1], [1, 1, 0]])
    assert torch.allclose(model.train()(inputs, lengths), plain(unknown, lengths))


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "rnn_relu"])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_weight_dropout_is_the_same_however_sequences_are_batched(
    cell: Any, num_layers: int, bidirectional: bool
) -> None:
    sequences = [torch.tensor([3, 2, 3]), torch.tensor([4]), torch.tensor([5, 1])]
    options = {"cell": cell, "num_layers": num_layers, "bidirectional": bidirectional, "weight_dropout": 0.5}
    padded, *others = (tiny(execution=way, **options).double().train() for way in ("padded", "packed", "native"))
    batch = pad_collate([(sequence, 0) for sequence in sequences])

    def drop(model: RNNClassifier, inputs: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(1)
        return model(inputs, lengths)

    together = drop(padded, batch.inputs, batch.lengths)
    for other in others:
        assert torch.allclose(drop(other, batch.inputs, batch.lengths), together, atol=1e-12)
    for sequence, logits in zip(sequences, together, strict=True):
        assert torch.allclose(drop(padded, sequence[None], torch.tensor([len(sequence)]))[0], logits, atol=1e-12)
    assert not torch.allclose(padded.eval()(batch.inputs, batch.lengths), together)
    plain = tiny(cell=cell, num_layers=num_layers, bidirectional=bidirectional, execution="padded").double()
    assert torch.equal(plain(batch.inputs, batch.lengths), padded.eval()(batch.inputs, batch.lengths))


def test_weight_dropout_drops_the_weights_from_state_to_state() -> None:
    """Judged by the loop: the reference, given the same dropped weights, finds the same logits."""
    model = tiny(cell="gru", bidirectional=True, weight_dropout=0.5).double().train()
    sequence = torch.tensor([3, 2, 3, 4])
    torch.manual_seed(7)
    logits = model(sequence[None], torch.tensor([4]))[0]
    torch.manual_seed(7)
    with torch.no_grad():
        for name, weight in model.encoder.named_parameters():
            if name.startswith("weight_hh"):
                weight.copy_(torch.nn.functional.dropout(weight, 0.5))
                assert 0 < int((weight == 0).sum()) < weight.numel()
    assert torch.allclose(reference.logits_alone(model, sequence), logits, atol=1e-12)


def test_for_dataset_takes_datasets_alone() -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"dataset must be a SequenceDataset; got list\. Make it with from_p"
    ):
        RNNClassifier.for_dataset([("ab", "x")])


def test_for_dataset_remembers() -> None:
    texts = SequenceDataset.from_pairs([("ab", "x"), ("b", "y")])
    model = RNNClassifier.for_dataset(texts, cell="gru", hidden_size=5)
    assert (model.vocabulary, model.classes, model.vocab_size, model.hidden_size) == (
        texts.vocabulary,
        ("x", "y"),
        4,
        5,
    )
    traces = SequenceDataset.from_pairs([(np.ones((2, 3)), 1)])
    model = RNNClassifier.for_dataset(traces)
    assert (model.vocabulary, model.classes, model.input_size) == (None, (1,), 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 0}, r"num_classes must be an integer of at least 1; got 0"),
        ({"hidden_size": 1.5}, r"hidden_size must be an integer of at least 1; got 1\.5"),
        ({"num_layers": 0}, r"num_layers must be an integer of at least 1"),
        ({"embedding_dim": -1}, r"embedding_dim must be an integer of at least 1"),
        ({"vocab_size": 1}, r"vocab_size must be an integer of at least 2"),
        ({"vocab_size": None}, r"exactly one of vocab_size and input_size must be given; got None and None"),
        ({"input_size": 3}, r"exactly one of vocab_size and input_size must be given; got 7 and 3"),
        ({"vocab_size": None, "input_size": 0}, r"input_size must be an integer of at least 1"),
        ({"dropout": 1.0}, r"dropout must be a number from 0 up to, but not including, 1; got 1\.0"),
        ({"dropout": "0.5"}, r"dropout must be a number from 0"),
        ({"input_dropout": -0.1}, r"input_dropout must be a number from 0"),
        ({"symbol_dropout": 1.0}, r"symbol_dropout must be a number from 0"),
        ({"weight_dropout": 2}, r"weight_dropout must be a number from 0"),
        (
            {"weight_dropout": 0.5, "cell": nn.LSTMCell},
            r"weight_dropout must be 0 for other cells than the built-in ones; got 0.5",
        ),
        ({"symbol_dropout": 0.1, "vocab_size": None, "input_size": 3}, r"symbol_dropout must be 0 for float sequences"),
        ({"seed": -1}, r"seed must be an integer of at least 0"),
        ({"cell": "ltsm"}, r"cell must be one of 'lstm', .* got 'ltsm'\. Did you mean 'lstm'\?"),
        ({"cell": nn.LSTMCell(1, 1)}, r"Pass the class or a function that makes it"),
        ({"cell": lambda *_: 5}, r"cell must make an nn.Module; got int from cell\(64, 4\)"),
        ({"cell": nn.GRU}, r"take one step; got GRU, which runs whole sequences. Pass 'lstm', 'gru'"),
        ({"cell": nn.Linear}, r"forward takes a step and a state; got Linear: too many positional arguments"),
        ({"pooling": "lats"}, r"pooling must be one of 'last', .*; got 'lats'\. Did you mean 'last'\?"),
        ({"pooling": ("last", "men")}, r"pooling must be one of 'last', .*; got 'men'\. Did you mean 'mean'\?"),
        ({"pooling": ()}, r"pooling must name at least one pooling; got none"),
        ({"pooling": 5}, r"pooling must be one of 'last', .*; got 5"),
        ({"execution": "fast"}, r"execution must be one of 'auto', 'native', 'padded', 'packed'; got 'fast'"),
        ({"vocabulary": Vocabulary("ab")}, r"vocab_size must be the size of the vocabulary, 4; got 7"),
        ({"classes": ["a"]}, r"classes must hold 3 labels, one for each class; got 1"),
    ],
)
def test_bad_arguments(options: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        tiny(**options)


IDS = torch.ones(2, 3, dtype=torch.int64)


@pytest.mark.parametrize(
    ("inputs", "lengths", "message"),
    [
        ("ab", None, r"inputs must be a tensor or a PackedSequence; got str"),
        (IDS, None, r"lengths must be given with padded inputs; got None"),
        (IDS.float(), [3, 1], r"integer ids of shape \(B, T\); got torch.float32 of shape \(2, 3\)"),
        (IDS[0], [3], r"integer ids of shape \(B, T\); got torch.int64 of shape \(3,\)"),
        (IDS, [3.0, 1.0], r"lengths must be integers of shape \(B,\); got torch.float32"),
        (IDS, [[3, 1]], r"lengths must be integers of shape \(B,\); got torch.int64 of shape \(1, 2\)"),
        (IDS, [3], r"as many as the rows of inputs, at least one; got 1 lengths for 2 rows"),
        (IDS[:0], [], r"lengths must be integers|got 0 lengths for 0 rows"),
        (IDS, [4, 1], r"from 1 to the number of steps, 3; got 4 \(row 0\)"),
        (IDS, [3, 0], r"from 1 to the number of steps, 3; got 0 \(row 1\)"),
        (IDS * 7, [3, 1], r"ids must be from 0 to 6; got others"),
        (pack_sequence([IDS[0]]), [2], r"lengths must be those of the packed sequence, \[3\]; got \[2\]"),
        (pack_sequence([IDS[0].float()]), None, r"packed inputs must be integer ids of shape \(N\)"),
    ],
)
def test_bad_inputs(inputs: Any, lengths: Any, message: str) -> None:
    with pytest.raises((InvalidDataError, InvalidArgumentError), match=message):
        tiny()(inputs, lengths)


def test_bad_features() -> None:
    model = tiny(vocab_size=None, input_size=2)
    with pytest.raises(InvalidDataError, match=r"floats of shape \(B, T, 2\); got torch.float32 of shape \(1, 2, 3\)"):
        model(torch.ones(1, 2, 3), [2])
    with pytest.raises(InvalidDataError, match=r"packed inputs must be floats of shape \(N, 2\); got torch.int64"):
        model(pack_sequence([IDS[0]]))


class WrongCell(nn.Module):
    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result

    def forward(self, x_t: Tensor, state: Any) -> Any:
        return self.result


@pytest.mark.parametrize(
    ("result", "got"),
    [(torch.ones(2, 5), r"shape \(2, 5\)"), (None, "NoneType"), ((), "tuple"), ([torch.ones(2, 4)], "list")],
)
def test_a_cell_that_returns_something_else(result: Any, got: str) -> None:
    model = tiny(cell=lambda *_: WrongCell(result))
    with pytest.raises(InvalidArgumentError, match=rf"a cell must return .* = \(2, 4\).*; got {got}"):
        model(IDS, [3, 3])


def test_a_cell_that_returns_its_output_beside_the_state() -> None:
    model = tiny(cell=lambda *_: WrongCell((torch.ones(2, 4), (torch.ones(2, 4), torch.ones(2, 4)))))
    with pytest.raises(
        InvalidArgumentError, match=r"must return tensors alone, the output first; got \(Tensor, tuple\)"
    ):
        model(IDS, [3, 3])


def test_an_error_of_an_own_cell_comes_through_as_it_is() -> None:
    class Broken(nn.GRUCell):
        def forward(self, x_t: Tensor, state: Tensor | None = None) -> Tensor:
            raise IndexError("my own mistake")

    with pytest.raises(IndexError, match="my own mistake"):
        tiny(cell=Broken)(IDS, [3, 1])


def test_cells_see_shrinking_batches() -> None:
    sizes = []

    class Counting(nn.GRUCell):
        def forward(self, x_t: Tensor, state: Tensor | None = None) -> Tensor:
            sizes.append(len(x_t))
            return super().forward(x_t, state)

    model = tiny(cell=Counting)
    model(IDS, [3, 1])
    assert sizes == [2, 1, 1]
    assert isinstance(model.encoder, CellEncoder)


def test_the_defaults_of_a_model() -> None:
    model = RNNClassifier(2, vocab_size=5)
    assert isinstance(model.encoder, nn.LSTM)
    assert (model.embedding_dim, model.hidden_size, model.num_layers, model.bidirectional) == (64, 128, 1, False)
    assert (model.dropout, model.input_dropout, model.symbol_dropout) == (0, 0, 0)
    assert (model.weight_dropout, model.recurrent_dropout, model.variational_dropout) == (0, 0, False)
    assert (model.pooling_names, model.execution, model.truncate_steps) == (("last",), "auto", None)
    assert (model.standardize, model.missing, model.channels_first, model.empty) == (False, "error", False, "error")
    assert (model.vocabulary, model.classes) == (None, None)


def test_a_prefix_must_have_a_step_whatever_the_policy() -> None:
    model = RNNClassifier(2, vocab_size=5, hidden_size=3, empty="zero", seed=0)
    with pytest.raises(InvalidDataError, match="lengths must be from 1 to the number of steps, 2; got 0"):
        model.prefix_logits(torch.tensor([[2, 3]]), torch.tensor([0]))
