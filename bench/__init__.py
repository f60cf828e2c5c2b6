"""Measurements, each beside its limit measured in the same run. `python -m bench --help`."""
