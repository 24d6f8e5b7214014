"""The objects that `plugin.py` registers with pytest once a target is given."""
