"""The commands behind ``jobrun``: here, and only here, adapters are chosen and put together."""
