"""What every place of a store promises; each kind inherits :class:`PlaceTests`."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from _build import build
from fstore.store import Store
from fstore.store.place import Place, inside, outside
from fstore.store.places import place_at

KEYS = ["a", "a/b c/ü=%20", "labels/_delta_log/0.json", "weights/net/x+y.safetensors", "a.b/[c]*"]
HOLD = """
import time
{before}
from fstore.store.places import place_at
place = place_at({where!r})
with place.lock("a.lock"), place.lease("work"):
    print("held", flush=True)
    time.sleep(600)
"""
ADD = """
import sys
from fstore.store.places import place_at
place = place_at({where!r})
for i in range(15):
    place.append("sums/t", f"{{sys.argv[1]}} {{i}}\\n".encode())
"""

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["write", "append", "delete"]),
        st.sampled_from(["sums/x", "sums/y", "weights/n/z"]),
        st.binary(max_size=3),
    ),
    max_size=8,
)


SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]
"""One place serves all examples, in each kind's class: a test of it begins by emptying it."""


def at_once(*work: Callable[[], object]) -> None:
    """Run functions in threads of their own, to the end."""
    threads = [Thread(target=task) for task in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class PlaceTests:
    """The contract. A kind of place has a fixture ``place``: an empty one, made."""

    forgets_s = 0.0
    """After that long nothing is held by the dead."""
    before_hold = ""
    """What a process that is going to be killed does first, so that it is not waited for long."""

    @pytest.mark.parametrize("key", KEYS)
    def test_what_is_written_is_read(self, place: Place, key: str) -> None:
        """A file has the content that was written last, whatever its key, by every way to it."""
        place.write(key, b"first, and longer")
        place.write(key, b"second")
        assert place.read(key) == b"second"
        assert place.local(key).read_bytes() == b"second"
        with place.open(key) as file:
            file.seek(-3, 2)
            assert file.read() == b"ond"

    @settings(suppress_health_check=SHARED, deadline=None, max_examples=30)
    @given(actions=ACTIONS)
    def test_a_place_is_a_mapping(
        self, place: Place, actions: list[tuple[str, str, bytes]]
    ) -> None:
        """After any writes, additions and deletions the files are those of a dictionary."""
        expected: dict[str, bytes] = {}
        for key in ("sums/x", "sums/y", "weights/n/z"):
            place.delete(key)
        for action, key, data in actions:
            if action == "write":
                place.write(key, data)
                expected[key] = data
            elif action == "append":
                place.append(key, data)
                expected[key] = expected.get(key, b"") + data
            else:
                place.delete(key)
                expected.pop(key, None)
        entries = [*place.entries("sums"), *place.entries("weights")]
        files = {entry.key: place.read(entry.key) for entry in entries}
        assert files == expected
        assert list(files) == sorted(files)

    def test_where_nothing_is(self, place: Place) -> None:
        """A key without a file is no entry and FileNotFoundError; deleting it is no error."""
        place.write("a/b", b"")
        for key in ("c", "a/c", "a/b/c", "a"):
            assert place.entry(key) is None
        for key in ("c", "a/c"):
            assert place.names(key) == []
            assert list(place.entries(key)) == []
            place.delete(key)
            with pytest.raises(FileNotFoundError):
                place.read(key)
            with pytest.raises(FileNotFoundError):
                place.open(key)

    def test_what_is_known_of_a_file(self, place: Place) -> None:
        """An entry has the file's size and times, and another version when the content changed."""
        versions = set()
        for content in (b"abc", b"abd", b"abcd"):
            began = time.time()
            place.write("k/x", content)
            entry = place.entry("k/x")
            assert entry is not None
            assert (entry.key, entry.size_bytes) == ("k/x", len(content))
            assert began - 2 < entry.written <= entry.touched < time.time() + 2  # 2: FAT's clock
            versions.add(entry.version)
            assert place.entry("k/x") == entry
            assert list(place.entries("k")) == [entry]
        assert len(versions) == 3

    def test_names_are_those_directly_below(self, place: Place) -> None:
        """Names are of one level, folders included; entries are of all levels, files alone."""
        for key in ("t/a", "t/f/b", "t/f/c", "u/d"):
            place.write(key, b"")
        assert sorted(place.names("t")) == ["a", "f"]
        assert {"t", "u"} <= set(place.names(""))
        assert [entry.key for entry in place.entries("t")] == ["t/a", "t/f/b", "t/f/c"]

    def test_nobody_sees_half_a_file(self, place: Place) -> None:
        """A file that is replaced again and again is always one of the contents, as a whole."""
        contents = [bytes([i]) * (1 << 20) for i in (1, 2)]
        place.write("w", contents[0])
        done, seen = Event(), set()

        def write() -> None:
            for i in range(20):
                place.write("w", contents[i % 2])
            done.set()

        def read() -> None:
            while not done.is_set():
                seen.add(place.read("w"))

        at_once(write, read)
        assert seen <= set(contents)

    def test_one_alone_creates_a_file(self, place: Place) -> None:
        """Of those who create a file one is told that it did, and the file has what it wrote."""
        with ThreadPoolExecutor(4) as pool:
            told = list(pool.map(lambda n: place.create("locks/one", b"%d" % n), range(8)))
        assert sum(told) == 1
        assert place.read("locks/one") == b"%d" % told.index(True)
        assert place.names("locks") == ["one"]

    def test_additions_at_once_are_all_kept(self, place: Place) -> None:
        """Of lines that threads append at once none is lost or cut."""
        lines = [[f"{i} {j} {'x' * 50}\n" for j in range(20)] for i in range(4)]

        def add(mine: list[str]) -> None:
            for line in mine:
                place.append("sums/t", line.encode())

        at_once(*(lambda mine=mine: add(mine) for mine in lines))
        expected = sorted(line for mine in lines for line in mine)
        assert sorted(place.read("sums/t").decode().splitlines(keepends=True)) == expected

    def test_additions_of_two_processes_are_all_kept(self, place: Place) -> None:
        """Of lines that two processes append at once none is lost or cut, or out of turn."""
        command = [sys.executable, "-c", ADD.format(where=str(place))]
        both = [subprocess.Popen([*command, name]) for name in "ab"]
        assert [process.wait() for process in both] == [0, 0]
        lines = place.read("sums/t").decode().splitlines()
        assert len(lines) == 30
        for name in "ab":
            assert [line for line in lines if line[0] == name] == [f"{name} {i}" for i in range(15)]

    def test_a_draft_is_put_into_the_store(self, place: Place) -> None:
        """A draft has a name of its own, and becomes the file of a key, in place of an older."""
        place.write("weights/x", b"old")
        drafts = [place.draft("weights", ".part") for _ in range(10)]
        assert len(set(drafts)) == 10
        assert all(len(d.name) == 17 and d.name.endswith(".part") for d in drafts)
        drafts[0].write_bytes(b"new")
        place.put(drafts[0], "weights/x")
        assert place.read("weights/x") == b"new"
        assert not drafts[0].exists()

    def test_a_workspace_stays(self, place: Place) -> None:
        """What is written into a workspace is there for who asks for it again."""
        folder = place.workspace("training/abc")
        folder.mkdir(parents=True)
        (folder / "state").write_text("1")
        assert (place.workspace("training/abc") / "state").read_text() == "1"

    def test_paths_and_keys(self, place: Place, tmp_path: Path) -> None:
        """Keys lead to themselves; a path below the store has a key, one elsewhere has none."""
        place.write("weights/n/x", b"")
        assert place.follow("weights/n/x") == "weights/n/x"
        assert inside(place, "weights/./n/x", table="t", row="r", folder="weights") == "weights/n/x"
        assert place.key_of(tmp_path.parent) is None
        assert outside(place, tmp_path.parent / "out.csv") == tmp_path.parent / "out.csv"

    def test_a_place_is_known_by_its_name(self, place: Place) -> None:
        """Opening a place by its text gives an equal one, with the same files and another's not."""
        place.write("a", b"1")
        again = place_at(str(place))
        assert again == place
        assert hash(again) == hash(place)
        assert again.read("a") == b"1"
        assert place_at(f"{place}-other") != place

    def test_making_a_place_again_changes_nothing(self, place: Place) -> None:
        """A place may be made where it is."""
        place.write("a", b"1")
        place.make()
        assert [entry.key for entry in place.entries("")] == ["a"]
        place.check_writable("")

    # Locks and leases

    def test_one_thread_at_a_time(self, place: Place) -> None:
        """A lock keeps threads apart; who waits is told so; another lock is another's."""
        order: list[str] = []
        with place.lock("a.lock"), place.lock("b.lock"):

            def second() -> None:
                with place.lock("a.lock", lambda: order.append("waits"), poll_s=0.01):
                    order.append("second")

            thread = Thread(target=second)
            thread.start()
            while not order:
                thread.join(0.01)
            order.append("first")
        thread.join(60)
        assert [step for step in order if step != "waits"] == ["first", "second"]
        assert order[0] == "waits"

    def test_looking_at_a_lock(self, place: Place) -> None:
        """A lock is seen while it is held, and looking takes nothing away."""
        assert not place.is_locked("a.lock")
        with place.lock("a.lock"):
            assert place.is_locked("a.lock")
            assert place.is_locked("a.lock")
            assert not place.is_locked("b.lock")
        assert not place.is_locked("a.lock")

    def test_an_error_frees_a_lock(self, place: Place) -> None:
        """A lock is free after what was done under it failed; who gives up takes nothing."""
        with pytest.raises(LookupError), place.lock("a.lock"):
            raise LookupError
        with place.lock("a.lock"):
            with pytest.raises(LookupError), place.lock("a.lock", self._give_up):
                pass
            assert place.is_locked("a.lock")
        with place.lock("a.lock", lambda: pytest.fail("it is held still")):
            pass

    @staticmethod
    def _give_up() -> None:
        raise LookupError  # any error that is not the lock's own

    @pytest.mark.slow
    def test_the_dead_hold_nothing(self, place: Place) -> None:
        """Another process's lock and lease are in force until it dies; then the lock is taken."""
        code = HOLD.format(where=str(place), before=self.before_hold)
        command = [sys.executable, "-c", code]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            self._lasts(place)
            process.send_signal(signal.SIGKILL)
            process.wait()
        end = time.monotonic() + self.forgets_s
        while place.is_locked("a.lock") and time.monotonic() < end:
            time.sleep(0.1)
        with place.lock("a.lock", lambda: pytest.fail("it is held still")):
            assert place.is_locked("a.lock")
        while place.oldest_lease() != float("inf") and time.monotonic() < end:
            time.sleep(0.1)
        assert place.oldest_lease() == float("inf")

    def _lasts(self, place: Place) -> None:
        """See a lock and a lease in force, for longer than those of the dead are."""
        end = time.monotonic() + self.forgets_s
        while True:
            assert place.is_locked("a.lock")
            assert place.oldest_lease() < float("inf")
            if time.monotonic() >= end:
                return
            time.sleep(0.5)

    def test_a_lease_covers_what_is_written_under_it(self, place: Place) -> None:
        """Of two leases the older counts; a file that is written under one is not older."""
        assert place.oldest_lease() == float("inf")
        with place.lease("first"):
            began = place.oldest_lease()
            with place.lease("second"):
                assert place.oldest_lease() == began
                place.write("activations/x", b"1")
            entry = place.entry("activations/x")
            assert entry is not None
            assert began <= entry.touched
        assert place.oldest_lease() == float("inf")

    # A store

    def test_a_store_lives_there(self, place: Place) -> None:
        """Tables, activations, weights, SQL, verify, gc and drop work on the place."""
        built = build(str(place), ("5", "15"))
        store = Store.open(str(place))
        assert store.place == place
        rows = store.sql("SELECT ckpt, count(*) AS n FROM activations GROUP BY ALL ORDER BY ckpt")
        expected = sum(len(x) * x.shape[1] for x in built.values.values())
        assert {row["n"] for row in rows.rows()} == {expected}
        assert list(store.verify()) == []
        assert store.gc(older_than_hours=0) == []
        store.drop(network="net", ckpt="5", checkpoint=True)
        assert [row["ckpt"] for row in store.status()] == ["15", "15"]
        assert [r.name for r in Store.open(str(place)).checkpoints()] == ["15"]
