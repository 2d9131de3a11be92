"""`edge-convert convert`: a model file and its card become a bundle the agent believes; what is missing is named."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path

import joblib
import lightgbm
import numpy as np
import pytest
import skops.io
import soundfile
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import OneClassSVM
from typer.testing import CliRunner, Result

from converters.cli import app
from converters.errors import CardError, ModelFileError, UnsupportedModelError
from converters.inputs.model_file import read_model
from converters.kinds import KINDS
from converters.proof.reference_features import VIBRATION_NAMES, cut, vibration
from edge_agent.bundles.store import BundleStore
from edge_agent.errors import EdgeError
from tests.support.card_folder import NAMES, CardFolder, fitted_pipeline, make_card_folder
from tests.support.places import REPOSITORY


@pytest.fixture
def folder(tmp_path: Path) -> CardFolder:
    return make_card_folder(tmp_path)


def run_convert(folder: CardFolder, model: Path, *more: str) -> Result:
    arguments = ["convert", str(model), "--name", "press", "--version", "1.2.0", "--card", str(folder.card)]
    places = ["--models", str(folder.path / "models"), "--key", str(folder.path / "key")]
    return CliRunner().invoke(app, [*arguments, *places, *more])


def refusal(done: Result) -> EdgeError:
    assert isinstance(done.exception, EdgeError), done.output
    return done.exception


def saved(folder: CardFolder) -> Path:
    path = folder.path / "model.skops"
    skops.io.dump(fitted_pipeline(folder.rows), path)
    return path


class Writes:
    """A pickle that writes a file when it is opened: harmless here, and proof that it ran."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_skops_file_becomes_a_champion_the_agent_loads(folder: CardFolder) -> None:
    done = run_convert(folder, saved(folder), "--json")
    report = json.loads(done.stdout)
    assert report["kind"] == "StandardScaler + IsolationForest"
    assert report["parity"]["rows"] >= 100_000
    assert report["parity"]["verdict_flips"] == 0
    champion = BundleStore(folder.path / "models").load_champion("press")
    assert champion.bundle.manifest.version == "1.2.0"
    scores = champion.model.score(folder.rows.astype(np.float32))
    np.testing.assert_allclose(scores, -fitted_pipeline(folder.rows).score_samples(folder.rows), atol=1e-6)
    assert 0 < (scores > champion.bundle.manifest.threshold).sum() <= 4


def test_people_get_a_table_and_a_progress_line_that_stays_off_stdout(folder: CardFolder) -> None:
    done = run_convert(folder, saved(folder))
    assert "parity" in done.stdout
    assert "reading model.skops" not in done.stdout


def test_lightgbm_text_file_is_converted(folder: CardFolder) -> None:
    labels = (folder.rows[:, 0] > 60).astype(int)
    model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(folder.rows, labels)
    model.booster_.save_model(folder.path / "model.txt")
    folder.change_card("percentile = 99\n", "threshold = 0.5\n")
    report = json.loads(run_convert(folder, folder.path / "model.txt", "--json").stdout)
    assert (report["kind"], report["threshold"]) == ("Booster", 0.5)


def test_joblib_file_is_converted_when_trusted(folder: CardFolder) -> None:
    joblib.dump(OneClassSVM(nu=0.1, gamma=0.01).fit(folder.rows), folder.path / "model.joblib", compress=3)
    folder.change_card("percentile = 99\n", "")
    report = json.loads(run_convert(folder, folder.path / "model.joblib", "--trust-pickle", "--json").stdout)
    assert (report["kind"], report["threshold"]) == ("OneClassSVM", 0.0)


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
def test_pickle_does_not_run_without_the_flag(folder: CardFolder, compress: object) -> None:
    proof = folder.path / "it-ran"
    joblib.dump(Writes(proof), folder.path / "model.pkl", compress=compress)
    error = refusal(run_convert(folder, folder.path / "model.pkl"))
    assert isinstance(error, ModelFileError)
    assert "is a pickle: opening it runs" in error.message
    assert "--trust-pickle" in (error.hint or "")
    assert not proof.exists()


def test_the_same_pickle_would_have_run(folder: CardFolder) -> None:
    """Without this the test above would pass for a pickle that does nothing."""
    proof = folder.path / "it-ran"
    (folder.path / "model.pkl").write_bytes(pickle.dumps(Writes(proof)))
    run_convert(folder, folder.path / "model.pkl", "--trust-pickle")
    assert proof.exists()


def test_skops_file_with_code_of_its_own_is_refused_by_type(folder: CardFolder) -> None:
    skops.io.dump(FunctionTransformer(run_convert), folder.path / "model.skops")
    with pytest.raises(ModelFileError, match="run_convert, which is not among the types converted here"):
        read_model(folder.path / "model.skops")


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.999])
def test_file_cut_short_is_a_named_refusal(folder: CardFolder, share: float) -> None:
    labels = (folder.rows[:, 0] > 60).astype(int)
    booster = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(folder.rows, labels).booster_
    whole = {"model.txt": booster.model_to_string().encode(), "model.skops": saved(folder).read_bytes()}
    whole["model.pkl"] = pickle.dumps(fitted_pipeline(folder.rows))
    for name, content in whole.items():
        path = folder.path / name
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(ModelFileError, match=name):
            read_model(path, trust_pickle=True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"\x08\x08\x12\x04onnx", "looks like an ONNX graph"),
        (b"%PDF-1.7 and more", "begins with b'%PDF-1.7'"),
        (b"PK\x03\x04 and nothing more", "is not a whole skops file"),
        (b"tree\nversion=v4\n", "is a LightGBM model without 'num_class='"),
        (b"tree\nnonsense\nend of trees\n", "it was cut short or changed"),
        (b"\x80\x04]\x94.", "there is no converter for builtins.list"),
    ],
)
def test_foreign_file_is_a_named_refusal(folder: CardFolder, content: bytes, words: str) -> None:
    (folder.path / "model.bin").write_bytes(content)
    assert words in refusal(run_convert(folder, folder.path / "model.bin", "--trust-pickle")).message


def test_zip_that_is_no_model_is_a_named_refusal(folder: CardFolder) -> None:
    with zipfile.ZipFile(folder.path / "model.skops", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ModelFileError, match="is not a whole skops file"):
        read_model(folder.path / "model.skops")


def test_pickle_of_a_class_that_is_not_here_names_it(folder: CardFolder) -> None:
    (folder.path / "model.pkl").write_bytes(b"cplant_models\nPress\n.".join([b"\x80\x02", b""]))
    with pytest.raises(ModelFileError, match="needs plant_models, which is not installed"):
        read_model(folder.path / "model.pkl", trust_pickle=True)


def test_missing_model_file_is_a_named_refusal(folder: CardFolder) -> None:
    assert "cannot be read: No such file" in refusal(run_convert(folder, folder.path / "none.skops")).message


@pytest.mark.parametrize(
    ("old", "new", "where", "words"),
    [
        ('description = "Is a snapshot of three tags unlike the healthy days?"\n', "", "description", "is missing"),
        ('limits = ["A test, not a machine."]', "limits = []", "limits", "at least 1"),
        ("percentile = 99", "percentile = 99\nthreshold = 1.0", "score", "not both"),
        ("percentile = 99", "percentle = 99", "score.percentle", "Extra inputs"),
        ("percentile = 99", "percentile = 100", "score.percentile", "less than 100"),
        ('units = ["degC", "degC", "A"]', 'units = ["degC"]', "features", "3 names, but 1 units"),
        ('units = ["degC", "degC", "A"]', "", "features", "units are missing"),
        ('family = "tag_snapshot"', 'family = "wavelet"', "features", "no feature family wavelet"),
        ('licence = "none needed"', "", "training_data.licence", "is missing"),
        ('healthy = "healthy.csv"', 'healthy = "none.csv"', "files.healthy", "cannot be read"),
        ("[score]", "[score", "", "is not TOML"),
    ],
)
def test_card_that_lacks_something_is_refused_with_the_place(
    folder: CardFolder, old: str, new: str, where: str, words: str
) -> None:
    folder.change_card(old, new)
    error = refusal(run_convert(folder, saved(folder)))
    assert isinstance(error, CardError)
    assert (error.where, words in error.message) == (where, True), error.message
    assert error.hint


def test_missing_card_says_what_it_is_for(folder: CardFolder) -> None:
    folder.card.unlink()
    assert "is missing: a bundle needs to know more" in refusal(run_convert(folder, saved(folder))).message


def test_table_without_a_column_or_with_a_hole_names_the_place(folder: CardFolder) -> None:
    folder.write_table("healthy.csv", folder.rows[:, :2], NAMES[:2])
    assert "has no column current_a" in refusal(run_convert(folder, saved(folder))).message
    (folder.path / "healthy.csv").write_text(",".join(NAMES) + "\n1,2,3\n4,,6\n")
    assert "healthy.csv, line 3" in refusal(run_convert(folder, saved(folder))).message
    (folder.path / "healthy.csv").write_text(",".join(NAMES) + "\n1,2,nan\n")
    assert "row 1 has no finite current_a" in refusal(run_convert(folder, saved(folder))).message


def test_model_without_a_line_of_its_own_asks_for_one(folder: CardFolder) -> None:
    model = lightgbm.LGBMRegressor(n_estimators=5, verbose=-1).fit(folder.rows, folder.rows[:, 0])
    skops.io.dump(model, folder.path / "model.skops")
    folder.change_card("percentile = 99\n", "")
    error = refusal(run_convert(folder, folder.path / "model.skops"))
    assert isinstance(error, CardError)
    assert error.where == "score.threshold"


def test_model_of_another_width_is_refused(folder: CardFolder) -> None:
    skops.io.dump(fitted_pipeline(folder.rows[:, :2]), folder.path / "model.skops")
    assert isinstance(refusal(run_convert(folder, folder.path / "model.skops")), UnsupportedModelError)


@pytest.mark.parametrize(("option", "text"), [("--name", "two words"), ("--version", "1.0")])
def test_name_or_version_no_bundle_may_have_is_a_wrong_option(folder: CardFolder, option: str, text: str) -> None:
    assert run_convert(folder, saved(folder), option, text).exit_code == 2


WAVEFORM = """\
family = "vibration"
names = ["rms", "kurtosis", "dominant_freq"]
sample_rate_hz = 2000
window_samples = 1000
hop_samples = 500
"""


def test_waveform_model_is_proven_with_features_of_the_source_libraries(folder: CardFolder) -> None:
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((1, 60_000)).astype(np.float32) / 8
    soundfile.write(folder.path / "golden.wav", signal[0, :3_000], 2_000, subtype="FLOAT")
    rows = vibration(cut(signal, window=1_000, hop=500), sample_rate_hz=2_000.0)[0]
    columns = [VIBRATION_NAMES.index(name) for name in ("rms", "kurtosis", "dominant_freq")]
    np.save(folder.path / "healthy.npy", rows[:, columns])
    begin, end = folder.card.read_text().split("[features]")[0], folder.card.read_text().split("[score]")[1]
    folder.card.write_text(f"{begin}[features]\n{WAVEFORM}[score]{end}")
    folder.change_card("healthy.csv", "healthy.npy")
    folder.change_card("golden.csv", "golden.wav")
    skops.io.dump(OneClassSVM(nu=0.1, gamma="scale").fit(rows[:, columns]), folder.path / "model.skops")
    done = run_convert(folder, folder.path / "model.skops", "--json")
    assert done.exception is None, done.exception
    report = json.loads(done.stdout)
    assert report["golden"]["windows"] == 5
    folder.change_card("hop_samples = 500", "hop_samples = 500\nparameters = { split_hz = 500.0 }")
    assert isinstance(refusal(run_convert(folder, folder.path / "model.skops")), CardError)


def test_card_in_the_manual_is_one_that_is_read(folder: CardFolder) -> None:
    manual = (REPOSITORY / "docs" / "CONVERTING.md").read_text()
    folder.card.write_text(manual.split("```toml\n")[1].split("```")[0])
    report = json.loads(run_convert(folder, saved(folder), "--json").stdout)
    assert report["metrics"] == {"recall": 0.91}


def test_manual_names_every_kind() -> None:
    manual = (REPOSITORY / "docs" / "CONVERTING.md").read_text()
    assert [kind.name for kind in KINDS.values() if f"`{kind.package}` {kind.name}" not in manual] == []
