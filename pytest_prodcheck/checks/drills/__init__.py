"""Rehearsals of a switch and of the rollback.

drill      what a test sees
switching  what flips a switch: a request, a command, a function
restoring  back, and whether the target is as it was: the one way, whoever takes it
watchdog   takes it when the run was killed
undoing    takes it later, with nothing but the journal and the configuration
lease      one drill on a target at a time
"""
