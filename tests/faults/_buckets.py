"""A server of object storage that fails: one request in five, while a store on it is filled."""

import os
import time
from functools import partial
from pathlib import Path

from _bases import draw_pictures, make_noise, named
from _contents import save
from _figures import Figures, campaign, draw_seed, rounds
from _harness import call, finish, fork, run_here, surrounded
from _kills import count, judged

from _fault_proxy import FAULTS, Fault, Plan, Proxy, proxied
from _object_server import running
from fstore.store.places import place_at
from fstore.store.remote_locks import EXPIRES_S

__all__ = ["fill", "wait_for_leases"]

RATE = 0.2
WORDS = named("extract").words
SILENCE_S, PATIENCE = 1.5, "1s"
"""How long the server says nothing, and how long a command waits for it here: 60 s otherwise."""


def failing(place: Path, n: int, seed: int, *, fault: Fault) -> Figures:
    """Fill stores, n of them, while requests are harmed; then again while none is."""
    figures = Figures(f"object storage: {fault}")
    images, right = place / "images", place / "right.pickle"
    draw_pictures(images)
    with running() as server, proxied(server) as proxy:
        with surrounded(server.environment):
            whole = server.fresh()
            call(make_noise, whole, images)
            call(fill, whole, place / "whole.log")
            call(save, whole, right)
        for i in rounds(n):
            root, log = server.fresh(), place / f"{i}.log"
            with surrounded(server.environment):
                call(make_noise, root, images)
            plan = Plan([fault], RATE, draw_seed(seed, figures.kind, i), silence_s=SILENCE_S)
            status, harmed = _harm(proxy, plan, root, log)
            figures.injected += harmed
            said = log.read_text(encoding="utf-8")
            figures.notes += [f"{i}: {said[-600:]}"] if "Traceback" in said else []
            with surrounded(server.environment):
                call(wait_for_leases, root)
                seen = judged(root, WORDS, right)
            count(figures, seen, f"{i}: {said[-200:]}", refused=status != 0, weight=harmed)
    return figures


def _harm(proxy: Proxy, plan: Plan, root: str, log: Path) -> tuple[int, int]:
    """Fill a store by a plan of harm; return the command's status and the requests harmed."""
    proxy.plan, before = plan, len(proxy.requests)
    with surrounded(proxy.server.environment):
        status = finish(fork(fill, root, log))
    return status, sum(request.fault is not None for request in proxy.requests[before:])


def wait_for_leases(root: str) -> None:
    """Wait until a lease that could not be deleted, if there is any, is nobody's."""
    if any(entry.key.endswith(".lease") for entry in place_at(root).entries("locks")):
        time.sleep(EXPIRES_S + 1)


def fill(root: str, log: Path) -> None:
    """Extract, and wait for no answer long."""
    from fstore.store import buckets

    buckets.TIMEOUT = PATIENCE
    run_here(root, WORDS, os.open(log, os.O_WRONLY | os.O_CREAT))


for _fault in FAULTS:
    campaign(f"s3-{_fault.replace(', then ', '-')}", n=5, small=1)(partial(failing, fault=_fault))
