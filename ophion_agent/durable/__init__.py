"""A first-in first-out queue of byte records on disk: what a sending queue with `storage` stands on."""

from ophion_agent.durable.commit import DiskFull
from ophion_agent.durable.queue import DurableQueue, QueueClosed, QueueFull, RecordTooLarge
from ophion_agent.durable.reader import Entry
from ophion_agent.durable.recovery import Recovered, UnknownFormat
from ophion_agent.durable.segments import DirectoryInUse

__all__ = [
    "DirectoryInUse",
    "DiskFull",
    "DurableQueue",
    "Entry",
    "QueueClosed",
    "QueueFull",
    "RecordTooLarge",
    "Recovered",
    "UnknownFormat",
]
