"""Virtual time for all tests of the engine: hours of a run take milliseconds, and nothing depends on this machine."""

from support.virtual_time import loop_factories

pytest_asyncio_loop_factories = loop_factories
