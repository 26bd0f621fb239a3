"""The names that options take, said once: here, where the command can read them without loading torch."""

from typing import Literal

CellName = Literal["lstm", "gru", "rnn", "rnn_relu"]
PoolingName = Literal["last", "mean", "max", "attention"]
PositionsName = Literal["start", "end", "both"]
MissingPolicy = Literal["error", "mean", "forward", "indicator"]
EmptyPolicy = Literal["error", "skip", "zero"]
ScheduleName = Literal["one_cycle", "cosine", "linear", "constant"]
TokenizerName = Literal["characters", "words", "lowercase_words", "bytes"]
Quoting = Literal["minimal", "none"]
