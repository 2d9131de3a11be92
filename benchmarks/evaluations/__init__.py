"""What features and models say about recordings whose end is known. DATA is a folder like tests/data; the first two
commands want recordings that are not shipped.

    python -m benchmarks.evaluations cwru FOLDER     which fault the envelope names in four seeded-fault recordings
    python -m benchmarks.evaluations ims FOLDER      how many hours before the end a failing outer race stands out
    python -m benchmarks.evaluations bearings DATA   hours of warning and false alarms of the shipped anomaly models
    python -m benchmarks.evaluations sound DATA      how well each machine's sounds are told apart
    python -m benchmarks.evaluations sensors FOLDER  how often each check of the sensor flags a real machine's signal

Every rule and threshold is written in the module and was fixed for all recordings alike; a file's name is printed and
never asked.
"""
