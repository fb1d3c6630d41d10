"""What can go wrong between a worker and its broker, as the rest of the worker sees it."""

from __future__ import annotations


class BrokerUnavailable(Exception):
    """No answer, or an error that may pass: ask again later."""


class WrongLastSequence(Exception):
    """A store was refused because the subject's last sequence is another than expected."""
