# Loaded by measure.py.
config.name = "nested"  # -> name
