import threading
import time

from fakes.process.waiting import WATCHDOG_S

from edgebs.workers import Channel


def test_items_come_out_in_order_and_finish_drains():
    channel: Channel[int] = Channel(3)
    assert all(channel.put(item) for item in (1, 2, 3))
    channel.finish()
    assert [channel.get() for _ in range(4)] == [1, 2, 3, None]


def test_put_waits_for_room():
    channel: Channel[int] = Channel(1)
    channel.put(1)
    second = threading.Thread(target=channel.put, args=(2,))
    second.start()
    time.sleep(0.02)  # time to put too early; a busy machine puts later, never earlier
    assert second.is_alive()
    assert channel.get() == 1
    second.join(WATCHDOG_S)
    assert channel.get() == 2


def test_cancel_releases_both_sides_and_drops_items():
    full: Channel[int] = Channel(1)
    full.put(1)
    said: list[object] = []
    writer = threading.Thread(target=lambda: said.append(full.put(2)))
    empty: Channel[int] = Channel(1)
    reader = threading.Thread(target=lambda: said.append(empty.get()))
    writer.start()
    reader.start()
    full.cancel()
    empty.cancel()
    writer.join(WATCHDOG_S)
    reader.join(WATCHDOG_S)
    assert sorted(map(str, said)) == ["False", "None"]
    assert full.get() is None
