"""The taper of every spectrum here."""

import librosa
import numpy as np

from edge_agent.dsp.kernels.hann_spectrum import hann


def test_the_taper_is_the_periodic_hann_window():
    np.testing.assert_allclose(hann(2048), librosa.filters.get_window("hann", 2048, fftbins=True), atol=1e-15)
