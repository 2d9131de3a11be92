"""What the condition-monitoring features say about recordings whose end is known. The recordings are not shipped.

    python -m benchmarks.evaluations cwru FOLDER     which fault the envelope names in four seeded-fault recordings
    python -m benchmarks.evaluations ims FOLDER      how many hours before the end a failing outer race stands out

Every rule and threshold is written in the module and was fixed for all recordings alike; a file's name is printed and
never asked.
"""
