"""What a probe of samples says of them."""

from __future__ import annotations

import json

import numpy as np

from edge_agent.cli.probe_waveform import Listening, SignalSurvey, heard_document, heard_text
from edge_agent.core.samples import SampleBlock, read_only
from edge_agent.drivers.sound.settings import MicrophoneSettings

RATE_HZ = 1_000
SETTINGS = MicrophoneSettings.model_validate({
    "type": "microphone", "name": "m", "asset": "pump-1", "sample_rate_hz": RATE_HZ,
    "channels": [{"point": "good"}, {"point": "nan"}],
})  # fmt: skip


def test_samples_that_are_no_numbers_are_named_and_are_none_in_json() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, 2 * RATE_HZ)
    samples = read_only(np.stack([noise, np.full(len(noise), np.nan)]).astype(np.float32))
    heard = SignalSurvey(clipped=[0, 0], full_scales=[1.0, 1.0])
    heard.survey.take(SampleBlock("m", 0, 0, float(RATE_HZ), "FS", samples))
    how = Listening(SETTINGS, 2.0, watches_taps=False, shows_meter=False, unit="FS", top=1.0)
    document = heard_document(how, heard)
    json.dumps(document, allow_nan=False)
    good, bad = document["channels"]
    assert good["verdict"] == "alive"
    assert bad["verdict"].startswith("not finite: 2000 samples")
    assert (bad["mean"], bad["rms"], bad["peak"], bad["rms_dbfs"]) == (None, None, None, None)
    (row,) = [line for line in heard_text(document, heard) if line.startswith("nan ")]
    assert row.split()[1:4] == ["-", "-", "-"]
