"""A bounded queue between two workers that either side can end at any moment, and a latch for the end.

The main thread reads from a channel, and there Ctrl-C raises KeyboardInterrupt at any bytecode. In the
methods of threading.Condition and Event that leaves a lock taken, or releases one that is free. So both
classes are made of single calls of queue.SimpleQueue and list, which an interruption cannot cut in two.
"""

from __future__ import annotations

from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class _End:
    """In the place of an item: no more will come."""


class Channel(Generic[T]):
    """Holds at most `capacity` items. `finish` lets the reader drain it; `cancel` wakes both sides at once.

    For one writer. queue.Queue can be neither finished nor cancelled before Python 3.13, and polling it with
    a timeout would put the timeout into the latency of leaving.
    """

    def __init__(self, capacity: int) -> None:
        """Make an empty channel."""
        self._items: SimpleQueue[T | _End] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()
        self._cancelled = False
        for _ in range(capacity):
            self._room.put(None)

    def wait_for_room(self) -> bool:
        """Wait until an item can be put at once; False when the channel was cancelled instead.

        A writer that asks before it starts on an item keeps nothing finished in hand, so items do not age.
        """
        self._room.get()
        self._room.put(None)
        return not self._cancelled

    def put(self, item: T) -> bool:
        """Wait for room and append; False when the channel was cancelled instead."""
        self._room.get()
        if self._cancelled:
            self._room.put(None)
            return False
        self._items.put(item)
        return True

    def get(self) -> T | None:
        """Wait for the next item; None when finished and empty, or cancelled."""
        item = self._items.get()
        if self._cancelled or isinstance(item, _End):
            self._items.put(_End())  # for the next call
            return None
        self._room.put(None)
        return item

    def finish(self) -> None:
        """No more items will come; what is inside can still be read."""
        self._items.put(_End())

    def cancel(self) -> None:
        """Drop what is inside and release both sides."""
        self._cancelled = True
        with suppress(Empty):
            while True:
                self._items.get_nowait()
        self._items.put(_End())
        self._room.put(None)


class Latch:
    """Opens once, and stays open."""

    def __init__(self) -> None:
        """Shut."""
        self.is_open = False
        self._waiting: list[SimpleQueue[None]] = []

    def open(self) -> None:
        """Release all that wait now and later."""
        self.is_open = True
        for bell in list(self._waiting):
            bell.put(None)

    def wait(self) -> None:
        """Return once it is open."""
        bell: SimpleQueue[None] = SimpleQueue()
        self._waiting.append(bell)
        # Asked after the bell was hung: `open` either rings it or had been called.
        if not self.is_open:
            bell.get()
