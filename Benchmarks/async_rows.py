# SPDX-License-Identifier: Apache-2.0
"""Measures asynchronous calls: how fast they are accepted, kept and carried out."""
import json
import os
import statistics
import subprocess
import tempfile
import time

from bench import Load, Martlet, accepts, against, free_port, paired, running, wait_until
from sources import source

LATER = """wrk.method = "POST"
wrk.body = string.rep("x", 1024)
wrk.headers["X-Delay"] = "10h"
"""
NOW = """wrk.method = "POST"
wrk.body = string.rep("x", 1024)
"""
MILLION = 1_000_000


class Bench:
    """What all rows share."""

    def __init__(self, binary, folder, rounds, seconds):
        self.binary, self.folder, self.rounds, self.seconds = binary, folder, rounds, seconds
        self.count = 0
        self.rows = self.compile("rows", "-lsqlite3")
        self.origin = self.compile("origin", "-pthread")
        self.slow = self.compile("slow_sync", "-shared", "-fPIC", "-ldl")
        self.later, self.now = self.script("later", LATER), self.script("now", NOW)

    def compile(self, name, *flags):
        target = os.path.join(self.folder, name)
        subprocess.run(["gcc", "-O2", "-o", target, source(name), *flags], check=True)
        return target

    def script(self, name, text):
        path = os.path.join(self.folder, name + ".lua")
        with open(path, "w") as file:
            file.write(text)
        return path

    def fresh(self, name):
        self.count += 1
        return os.path.join(self.folder, "%s-%d" % (name, self.count))

    def control(self, kind, preload=None):
        """Rows a second and the 99th percentile of a commit, in microseconds."""
        environment = {**os.environ, **({"LD_PRELOAD": preload} if preload else {})}
        path = self.fresh("rows")
        output = subprocess.run(
            [self.rows, kind, path, str(self.seconds)], capture_output=True, text=True, check=True, env=environment).stdout
        for suffix in ("", "-wal", "-shm"):
            if os.path.exists(path + suffix):
                os.remove(path + suffix)
        return [float(word) for word in output.split()]

    def accept(self, martlet, seconds=None):
        url = "http://127.0.0.1:%d/async-function/origin" % martlet.port
        return Load(url, 64, seconds or self.seconds, [martlet.process.pid], self.later)

    def platform(self, preload=None, environment=None):
        environment = {**(environment or {}), **({"LD_PRELOAD": preload} if preload else {})}
        martlet = Martlet(self.binary, self.fresh("data"), environment)
        martlet.data = os.path.join(self.folder, "data-%d" % self.count)
        martlet.deploy("origin", self.origin, mode="http")
        wait_until(lambda: martlet.ready("origin"))
        return martlet

    def accept_fresh(self, preload=None, environment=None):
        martlet = self.platform(preload, environment)
        try:
            return self.accept(martlet)
        finally:
            martlet.stop()

    def queue(self, martlet):
        return json.loads(martlet.ask("GET", "/system/queue"))

    def complete(self, martlet):
        """Calls a second from submission to completion."""
        before = self.queue(martlet)["succeeded"]
        begun = time.perf_counter()
        Load("http://127.0.0.1:%d/async-function/origin" % martlet.port, 64, self.seconds, script=self.now)
        wait_until(lambda: self.queue(martlet)["waiting"] + self.queue(martlet)["running"] == 0, 60)
        return (self.queue(martlet)["succeeded"] - before) / (time.perf_counter() - begun)

    def synchronous(self, martlet):
        url = "http://127.0.0.1:%d/function/origin" % martlet.port
        return Load(url, 64, self.seconds, script=self.now).rate


def accept_rows(bench):
    seen, bare = [], []
    for _ in range(bench.rounds):
        seen.append(bench.accept_fresh())
        bare.append(bench.control("sqlite"))
    rate, other = (statistics.median(values) for values in ([load.rate for load in seen], [row[0] for row in bare]))
    p99, sync = statistics.median(load.p99 for load in seen), statistics.median(row[1] for row in bare)
    return [
        against("accepting asynchronous calls, 1 KiB, 64 connections, calls/s", "%.0f" % rate,
                "a bare C program, the same rows into SQLite, 64 a commit, %.0f" % other,
                paired([load.rate for load in seen], [row[0] for row in bare]), "≥ 0.5"),
        ("the same: p99", "%.1f ms" % (p99 / 1000), "p99 of the bare program's commit: %.1f ms" % (sync / 1000),
         "≤ 10 ms beyond"),
    ]


def slow_disk_row(bench):
    seen, bare = [], []
    for _ in range(bench.rounds):
        seen.append(bench.accept_fresh(bench.slow).rate)
        bare.append(bench.control("sync", bench.slow)[0])
    rate, other = statistics.median(seen), statistics.median(bare)
    return against("the same on a disk whose syncs last 5 ms longer", "%.0f" % rate,
                   "fdatasync after every 64 records, %.0f" % other, paired(seen, bare), "≥ 0.8")


def jetstream_row(bench):
    """JetStream acknowledges before anything is synced."""
    publisher, port, seen, theirs = bench.compile("jetstream"), free_port(), [], []
    for _ in range(bench.rounds):
        seen.append(bench.accept_fresh().rate)
        with running(["nats-server", "-js", "-a", "127.0.0.1", "-p", str(port), "-sd", bench.fresh("jetstream-store")],
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            wait_until(lambda: accepts(port))
            theirs.append(float(subprocess.run(
                [publisher, str(port), "64", str(bench.seconds)], capture_output=True, text=True, check=True).stdout))
    rate, other = statistics.median(seen), statistics.median(theirs)
    return against("the same beside JetStream, which acknowledges before it syncs", "%.0f" % rate,
                   "nats-server, 64 publishers %.0f" % other, paired(seen, theirs), "≥ 12,000/s")


def completion_row(bench):
    martlet = bench.platform()
    try:
        seen, direct = [], []
        for _ in range(bench.rounds):
            seen.append(bench.complete(martlet))
            direct.append(bench.synchronous(martlet))
    finally:
        martlet.stop()
    rate, other = statistics.median(seen), statistics.median(direct)
    return against("submitted to completed, 1 KiB, calls/s", "%.0f" % rate,
                   "the same function called synchronously %.0f" % other, paired(seen, direct), "≥ 0.4")


def million_rows(bench):
    martlet = bench.platform()
    try:
        while bench.queue(martlet)["waiting"] < MILLION:
            bench.accept(martlet, 10)
        full, empty = [], []
        for _ in range(bench.rounds):
            full.append(bench.accept(martlet).rate)
            empty.append(bench.accept_fresh().rate)
    finally:
        martlet.stop()
    again = Martlet(bench.binary, martlet.data)
    try:
        waiting = bench.queue(again)["waiting"]
    finally:
        again.stop()
    rate, other = statistics.median(full), statistics.median(empty)
    return [
        against("accepting with 1,000,000 calls waiting, calls/s", "%.0f" % rate, "an empty queue %.0f" % other,
                paired(full, empty), "≥ 0.9"),
        ("from exec to ready with {:,} calls waiting".format(waiting), "%.0f ms" % again.ready_ms, "", ""),
    ]


def queue_rows(bench):
    """The two queues, each with the same calls."""
    port, accepting, completing = free_port(), ([], []), ([], [])
    with running(["nats-server", "-js", "-a", "127.0.0.1", "-p", str(port), "-sd", bench.fresh("queue-store")],
                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        wait_until(lambda: accepts(port))
        for number in range(bench.rounds):
            shared = {"MARTLET_NATS_URL": "nats://127.0.0.1:%d" % port, "queue_name": "accept-%d" % number}
            for place, environment in enumerate((shared, None)):
                accepting[place].append(bench.accept_fresh(environment=environment).rate)
                again = {**shared, "queue_name": "complete-%d" % number} if environment else None
                martlet = bench.platform(environment=again)
                try:
                    completing[place].append(bench.complete(martlet))
                finally:
                    martlet.stop()
    rows = []
    for name, (theirs, ours) in (("accepting on JetStream, 1 KiB, 64 connections, calls/s", accepting),
                                 ("submitted to completed on JetStream, 1 KiB, calls/s", completing)):
        rate, other = statistics.median(theirs), statistics.median(ours)
        rows.append(against(name, "%.0f" % rate, "the embedded queue %.0f" % other, rate / other, ""))
    return rows


def measure_queues(binary, rounds, seconds):
    """The queue on JetStream beside the embedded one."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        return queue_rows(Bench(binary, folder, rounds, seconds))


def measure(binary, rounds, seconds):
    """The rows of asynchronous calls."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        bench = Bench(binary, folder, rounds, seconds)
        return accept_rows(bench) + [jetstream_row(bench), slow_disk_row(bench), completion_row(bench)] + million_rows(bench)
