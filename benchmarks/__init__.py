"""How fast JobRun is, next to what else there is, on this machine: ``make bench``. None of it is a test."""
