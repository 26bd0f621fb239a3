"""Try an installed wheel, away from the sources: import, train, predict, save, load, by the compiled kernels."""

import os
import tempfile
import warnings
from pathlib import Path

warnings.filterwarnings("error", module=r"seqclf\b")
warnings.filterwarnings("error", message="seqclf runs by torch's kernels")

import seqclf  # noqa: E402


def main() -> None:
    """Go through it, in an empty folder."""
    train, test = seqclf.SequenceDataset.from_pairs(seqclf.load_names()).split()
    model = seqclf.RNNClassifier.for_dataset(train, hidden_size=32, seed=0)
    plan = seqclf.explain_execution(model.eval(), seqclf.pad_collate([train[0]]))
    assert plan.backend == "native", plan
    seqclf.fit(model, train, epochs=2, progress=False)
    seqclf.save(model, "model.safetensors")
    result = seqclf.evaluate(seqclf.load("model.safetensors"), test)
    assert result.accuracy > 2 * result.majority, result
    assert len(seqclf.predict(model, ["Satoshi", "Dubois"])) == 2
    print(f"seqclf {seqclf.__version__} from {seqclf.__file__}: {result}")


with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
    before = Path.cwd()
    os.chdir(folder)
    try:
        main()
    finally:
        os.chdir(before)
