"""The channels there are, in the order they are written. To add one: a folder with `channel.py` and one line here."""

from importlib import import_module

from integrator.contracts.errors import invalid
from integrator.delivery.base import Channel, ChannelSpec

CHANNELS: tuple[ChannelSpec, ...] = (
    ChannelSpec("tables", "Insight tables"),
    ChannelSpec("webhook", "Webhooks"),
    ChannelSpec("cache", "Cache of the realtime API"),
    ChannelSpec("live", "Live updates"),
    ChannelSpec("host_database", "Host databases"),
    ChannelSpec("kafka", "Kafka"),
    ChannelSpec("write_back", "Platform write-back"),
)


def channel(name: str) -> Channel:
    """The channel itself, its code imported only now; `InvalidInput` names the channels there are."""
    for entry in CHANNELS:
        if entry.name == name:
            loaded: Channel = import_module(f"integrator.delivery.{name}.channel").CHANNEL
            return loaded
    raise invalid("channel", name, (entry.name for entry in CHANNELS))


def channels() -> list[Channel]:
    """All of them, in order."""
    return [channel(entry.name) for entry in CHANNELS]
