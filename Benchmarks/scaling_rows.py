# SPDX-License-Identifier: Apache-2.0
"""Measures starts from zero, and what scaling costs the calls that go on meanwhile."""
import glob
import http.client
import itertools
import json
import os
import selectors
import socket
import statistics
import subprocess
import tempfile
import threading
import time

from bench import Load, Martlet, against, wait_until
from sources import source

SLEEPERS = 200
MILLION = 1_000_000
# Below the range that connections take their own ports from: there a connection attempt can meet itself.
ports = itertools.count(20_000)


def compile_c(folder, name):
    target = os.path.join(folder, name)
    subprocess.run(["gcc", "-O2", "-o", target, source(name)], check=True)
    return target


def starts_per_second(start, count, command, environment=None, folder="/"):
    """How fast a bare loop starts so many copies of a program, each until it accepts."""
    first = [next(ports) for _ in range(count)][0]
    return float(subprocess.run(
        [start, str(count), str(first), *command], cwd=folder, env=environment or {"PATH": os.environ["PATH"]},
        capture_output=True, text=True, check=True).stdout)


def cold_call_ms(martlet, name):
    martlet.scale(name, 0)
    wait_until(lambda: not martlet.ready(name))
    # What the last replica used has to be given back before the next one is measured.
    time.sleep(0.01)
    connection = http.client.HTTPConnection("127.0.0.1", martlet.port)
    connection.connect()
    started = time.perf_counter()
    connection.request("GET", "/function/" + name)
    answer = connection.getresponse()
    answer.read()
    took = (time.perf_counter() - started) * 1000
    connection.close()
    if answer.status != 200:
        raise SystemExit("A call from zero ended with %d." % answer.status)
    return took


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def cold_rows(martlet, name, what, own_start_ms, count, goals):
    ours, own = [], []
    for _ in range(count):
        ours.append(cold_call_ms(martlet, name))
        own.append(own_start_ms())
    start = statistics.median(own)
    return [
        ("from zero, %s: %s beyond the function's own start" % (what, word),
         "%.1f ms" % (percentile(ours, share) - start), "its own start, from exec to listening: %.1f ms" % start, goal)
        for word, share, goal in goals]


def native_rows(martlet, origin, start):
    martlet.deploy("native", origin, mode="http")
    wait_until(lambda: martlet.ready("native"))
    goals = [("p50", 0.5, "≤ 3 ms"), ("p99", 0.99, "≤ 15 ms")]
    own = lambda: 1000 / starts_per_second(start, 1, [origin])
    return cold_rows(martlet, "native", "a native HTTP function", own, 200, goals)


def python_rows(martlet, binary, data, folder, start):
    """A function of the python3 template, and its own command as the bundle has it."""
    environment = {**os.environ, "HOME": folder, "OPENFAAS_URL": "http://127.0.0.1:%d" % martlet.port}
    for words in (["new", "snake", "--lang", "python3"], ["deploy", "--build", "-f", "stack.yaml"]):
        subprocess.run([binary, *words], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    wait_until(lambda: martlet.ready("snake"))
    bundle = os.path.dirname(glob.glob(os.path.join(data, "bundles", "*", "bundle.json"))[0])
    with open(os.path.join(bundle, "bundle.json")) as file:
        description = json.load(file)
    where = os.path.join(bundle, description.get("workdir") or "")
    variables = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": folder, **(description.get("environment") or {})}
    own = lambda: 1000 / starts_per_second(start, 1, description["fprocess"].split(" "), variables, where)
    return cold_rows(martlet, "snake", "a `python3` template function", own, 30, [("p50", 0.5, "≤ 5 ms")])


def all_at_once(martlet, names):
    """Seconds until all of many sleeping functions have answered a call that came to all at once."""
    selector = selectors.DefaultSelector()
    for name in names:
        connection = socket.create_connection(("127.0.0.1", martlet.port))
        selector.register(connection, selectors.EVENT_READ, name)
    started = time.perf_counter()
    for key in list(selector.get_map().values()):
        key.fileobj.sendall(b"GET /function/%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % key.data.encode())
    while selector.get_map():
        for key, _ in selector.select(timeout=30) or [SystemExit("A call was not answered.")]:
            head = key.fileobj.recv(65536)
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit("%s answered %r" % (key.data, head[:60]))
            selector.unregister(key.fileobj)
            key.fileobj.close()
    return time.perf_counter() - started


def burst_row(martlet, origin, start, rounds):
    names = ["sleeper-%d" % number for number in range(SLEEPERS)]
    for name in names:
        martlet.deploy(name, origin, mode="http")
    seen, bare = [], []
    for number in range(rounds):
        for name in names:
            martlet.scale(name, 0)
        wait_until(lambda: not any(
            status.get("availableReplicas") and status["name"] in names
            for status in json.loads(martlet.ask("GET", "/system/functions"))))
        # They have slept for a while: what their last replicas left behind is tidied up.
        time.sleep(0.5)
        seen.append(SLEEPERS / all_at_once(martlet, names))
        bare.append(starts_per_second(start, SLEEPERS, [origin]))
    for name in names:
        martlet.ask("DELETE", "/system/functions", {"functionName": name})
    rate, other = statistics.median(seen), statistics.median(bare)
    return against("%d functions at zero called at once, all answered: starts/s" % SLEEPERS, "%.0f" % rate,
                   "a bare C loop of posix_spawn, the same program until it accepts, %.0f" % other, rate / other, "≥ 0.7")


def steady_row(martlet, seconds_of_million):
    """A load that does not stop while replicas come and go."""
    over, cycles = threading.Event(), [0]

    def scale():
        while not over.is_set() and cycles[0] < 20:
            for count in (8, 1):
                martlet.scale("native", count)
                wait_until(lambda: martlet.ready("native") == count, seconds=60)
            cycles[0] += 1
            over.wait(seconds_of_million / 30)
    scaler = threading.Thread(target=scale)
    scaler.start()
    # Ends the whole run, should a single call fail.
    load = Load("http://127.0.0.1:%d/function/native" % martlet.port, 64, seconds_of_million)
    over.set()
    scaler.join()
    return ("calls that failed of %d, while replicas went 1 → 8 → 1 %d times" % (load.count, cycles[0]), "0",
            "%.0f calls/s meanwhile" % load.rate, "0 of 1,000,000 in 20 times")


def step_row(martlet, origin, rounds):
    """How soon ten replicas are wanted when 500 calls a second begin to come for 50 each."""
    labels = {"com.openfaas.scale.%s" % name: value for name, value in (
        ("type", "rps"), ("target", "50"), ("target-proportion", "1"), ("max", "20"))}
    times = []
    for number in range(rounds):
        name = "step-%d" % number
        martlet.deploy(name, origin, labels, mode="http")
        wait_until(lambda: martlet.ready(name))
        time.sleep(2)
        over = threading.Event()
        caller = threading.Thread(target=call_steadily, args=(martlet.port, name, 500, over))
        started = time.perf_counter()
        caller.start()
        wait_until(lambda: martlet.status(name)["replicas"] >= 10, pause=0.01)
        times.append(time.perf_counter() - started)
        over.set()
        caller.join()
        martlet.ask("DELETE", "/system/functions", {"functionName": name})
    return ("500 calls/s out of nothing, target 50: until 10 replicas are wanted", "%.1f s" % max(times),
            "the longest of %d" % rounds, "≤ 2 s")


def call_steadily(port, name, rate, over):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    due = time.perf_counter()
    while not over.is_set():
        connection.request("GET", "/function/" + name)
        connection.getresponse().read()
        due += 1 / rate
        time.sleep(max(0, due - time.perf_counter()))


def measure(binary, rounds, seconds):
    """The rows of scaling."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        origin, start = compile_c(folder, "origin"), compile_c(folder, "start")
        data = os.path.join(folder, "data")
        martlet = Martlet(binary, data)
        try:
            rows = native_rows(martlet, origin, start) + python_rows(martlet, binary, data, folder, start)
            rows.append(burst_row(martlet, origin, start, rounds))
            wait_until(lambda: martlet.ready("native") or cold_call_ms(martlet, "native"))
            rate = Load("http://127.0.0.1:%d/function/native" % martlet.port, 64, seconds).rate
            rows.append(steady_row(martlet, int(MILLION / rate * 1.15) + 1))
            rows.append(step_row(martlet, origin, max(rounds, 5)))
        finally:
            martlet.stop()
        return rows
