"""Virtual time: minutes of sweeping take milliseconds."""

from support.virtual_time import loop_factories

pytest_asyncio_loop_factories = loop_factories
