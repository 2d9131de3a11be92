"""How many times better, against what, measured in one run on this machine.

    python -m benchmarks [--json] [--only PREFIX]

Both sides of a comparison run in turn in the same process, in rotated rounds; a result is the median of the rounds'
ratios, so a noisy machine disturbs both sides alike. Absolute figures mean nothing on another machine.

To add an area, write one module in this package with decorated functions; nothing else has to be changed:

    from benchmarks.harness import Comparison, benchmark, compare

    @benchmark("outbox.append.vs_row_commits", unit="us/row")
    def append() -> Comparison:
        \"\"\"Durable append against one commit for each row.\"\"\"
        ...prepare both sides...
        return compare(ours=lambda: ..., baseline=lambda: ..., per=1000)

- `ours` and `baseline` do the same work on the same data. Write the baseline as an honest author would, in the module.
- `compare` measures CPU time; `per` is how many units one call does; each side is repeated until a round is long enough
  to measure. Anything else (bytes, wall time of a process, requests) is measured by the function itself, which returns
  `Comparison.of(ours_rounds, baseline_rounds)`.
- `also` of a comparison goes into the JSON object beside the ratio (how long live data took, for instance).
- A cost is better when it is smaller: `ratio` = baseline / ours. Names that end in `vs_fft` or `growth` are distances
  from a floor: `ratio` = ours / baseline. A quantity that is better when larger is turned into a cost first.
- Import heavy baselines (librosa, scipy.stats) inside the function: `--only` must not pay for the others.
"""

import edge_agent as edge_agent  # first: it keeps onnxruntime from reporting home
