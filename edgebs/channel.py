"""A bounded queue between two workers that either side can end at any moment."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Channel(Generic[T]):
    """Holds at most `capacity` items. `finish` lets the reader drain it; `cancel` wakes both sides at once.

    queue.Queue can be neither finished nor cancelled before Python 3.13, and polling it with a timeout
    would put the timeout into the latency of leaving.
    """

    def __init__(self, capacity: int) -> None:
        """Make an empty channel."""
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._changed = threading.Condition()
        self._finished = False
        self._cancelled = False

    def wait_for_room(self) -> bool:
        """Wait until an item can be put at once; False when the channel was cancelled instead.

        A writer that asks before it starts on an item keeps nothing finished in hand, so items do not age.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._cancelled or len(self._items) < self._capacity)
            return not self._cancelled

    def put(self, item: T) -> bool:
        """Wait for room and append; False when the channel was cancelled instead."""
        with self._changed:
            self._changed.wait_for(lambda: self._cancelled or len(self._items) < self._capacity)
            if self._cancelled:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def get(self) -> T | None:
        """Wait for the next item; None when finished and empty, or cancelled."""
        with self._changed:
            self._changed.wait_for(lambda: self._cancelled or self._finished or bool(self._items))
            if self._cancelled or not self._items:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def finish(self) -> None:
        """No more items will come; what is inside can still be read."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def cancel(self) -> None:
        """Drop what is inside and release both sides."""
        with self._changed:
            self._cancelled = True
            self._items.clear()
            self._changed.notify_all()
