"""Virtual time: seconds of waiting take none."""

from support.virtual_time import loop_factories

pytest_asyncio_loop_factories = loop_factories
