# SPDX-License-Identifier: Apache-2.0
"""Measures Martlet and nginx in the same run, interleaved, and writes the figures with their goals.

Everything listens on loopback, is bounded in count and time, and is ended by its own process id.
"""
import argparse
import contextlib
import datetime
import http.client
import json
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time

from sources import source

HERE = os.path.dirname(os.path.abspath(__file__))


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def accepts(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_until(holds, seconds=20, pause=0.002):
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError("Nothing happened within %d s." % seconds)
        time.sleep(pause)


@contextlib.contextmanager
def running(arguments, **options):
    process = subprocess.Popen(arguments, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Martlet:
    """A platform with a data directory of its own."""

    def __init__(self, binary, folder, environment=None):
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [binary, "up", "--port", "0", "--metrics-port", "0", "--ui-port", "off", "--no-auth", "--data-dir", folder],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, **(environment or {})})
        for line in self.process.stdout:
            if found := re.search(r"is ready at http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                self.ready_ms = (time.perf_counter() - self.started) * 1000
            if "deploy only what you trust" in line:
                break

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)

    def memory_mib(self):
        with open("/proc/%d/status" % self.process.pid) as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) / 1024

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            answer = connection.getresponse()
            content = answer.read()
            if answer.status >= 300:
                raise SystemExit("%s %s: %d %s" % (method, path, answer.status, content[:200]))
            return content
        finally:
            connection.close()

    def deploy(self, name, command, labels=None, image="host", **variables):
        self.ask("POST", "/system/functions",
                 {"service": name, "image": image, "envProcess": command, "envVars": variables, "labels": labels or {}})

    def scale(self, name, count):
        self.ask("POST", "/system/scale-function/" + name, {"serviceName": name, "replicas": count})

    def status(self, name):
        return json.loads(self.ask("GET", "/system/function/" + name))

    def ready(self, name):
        return self.status(name).get("availableReplicas", 0)


POST = """wrk.method = "POST"
wrk.body = string.rep("x", 1024)
"""


class Load:
    """What wrk says of some seconds of load, and what the proxy's processes used meanwhile."""

    def __init__(self, url, connections, seconds, pids=(), script=None):
        before = cpu_seconds(pids)
        command = ["wrk", "-t1", "-c%d" % connections, "-d%ds" % seconds, "--latency"]
        text = subprocess.run(
            command + (["-s", script] if script else []) + [url], capture_output=True, text=True, check=True).stdout
        used = cpu_seconds(pids) - before
        if "Non-2xx" in text or "Socket errors" in text:
            raise SystemExit("Some calls failed:\n" + text)
        self.rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
        self.p50, self.p99 = (self._microseconds(text, share) for share in ("50", "99"))
        self.count = int(re.search(r"(\d+) requests in", text)[1])
        self.cpu = used / self.count * 1e6

    @staticmethod
    def _microseconds(text, share):
        value, unit = re.search(share + r"%\s+([\d.]+)(us|ms|s)", text).groups()
        return float(value) * {"us": 1, "ms": 1000, "s": 1e6}[unit]


def cpu_seconds(pids):
    ticks = 0
    for pid in pids:
        with open("/proc/%d/stat" % pid) as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
        return [int(child) for child in file.read().split()]


def nginx_configuration(folder, port, origin):
    path = os.path.join(folder, "nginx.conf")
    with open(path, "w") as file:
        file.write("""
worker_processes %d; daemon off; pid %s/nginx.pid; error_log %s/error.log;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000000; client_body_temp_path %s; proxy_temp_path %s;
  fastcgi_temp_path %s; uwsgi_temp_path %s; scgi_temp_path %s; client_max_body_size 0;
  upstream origin { server 127.0.0.1:%d; keepalive 512; keepalive_requests 1000000000; }
  server { listen 127.0.0.1:%d; location / {
    proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_buffering off; proxy_request_buffering off; } }
}
""" % ((os.cpu_count(),) + (folder,) * 7 + (origin, port)))
    return path


@contextlib.contextmanager
def nginx(folder, origin):
    port = free_port()
    with running(["nginx", "-p", folder, "-c", nginx_configuration(folder, port, origin)],
                 stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: accepts(port) and len(children(process.pid)) == os.cpu_count())
        yield "http://127.0.0.1:%d" % port, children(process.pid)


@contextlib.contextmanager
def watchdog(binary, folder, origin):
    port = free_port()
    os.makedirs(os.path.join(folder, "watchdog"), exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"], "TMPDIR": os.path.join(folder, "watchdog"), "listen_address": "127.0.0.1",
        "port": str(port), "metrics_port": "0", "mode": "http", "upstream_url": "http://127.0.0.1:%d" % origin,
        "fprocess": "sleep 100000", "healthcheck_interval": "1ms"}
    started = time.perf_counter()
    log = open(os.path.join(folder, "watchdog", "log"), "w")
    with running([binary], env=environment, stdout=log, stderr=log) as process:
        wait_until(lambda: accepts(port), pause=0.0002)
        listening_ms = (time.perf_counter() - started) * 1000
        yield "http://127.0.0.1:%d/" % port, [process.pid], listening_ms


def medians(rounds, **loads):
    """Each load once a round, in turn; the medians of what matters, and of its ratios to nginx in the same round."""
    seen = {name: [] for name in loads}
    for _ in range(rounds):
        for name, load in loads.items():
            seen[name].append(load())
    middle = {
        name: {key: statistics.median(getattr(load, key) for load in results) for key in ("rate", "p50", "p99", "cpu")}
        for name, results in seen.items()}
    for name, results in seen.items():
        for key in ("rate", "cpu"):
            middle[name][key + " ratio"] = paired(
                [getattr(load, key) for load in results], [getattr(load, key) for load in seen["nginx"]])
    return middle


def paired(ours, theirs):
    """The median of the ratios of neighbours: a machine that is slow for a while is slow for both."""
    return statistics.median(mine / max(other, 1e-9) for mine, other in zip(ours, theirs))


def stream_mib_per_s(url, size, upload=None):
    """Throughput of one long body, down or up."""
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{time_total}"]
    if upload:
        command += ["-X", "POST", "-H", "Expect:", "-T", upload]
    status, seconds = subprocess.run(command + [url], capture_output=True, text=True, check=True).stdout.split()
    if status != "200":
        raise SystemExit("A stream ended with %s." % status)
    return size / float(seconds) / (1 << 20)


def peak_growth(pid, work):
    """Runs some work, and says by how many MiB a process grew at most."""
    def resident():
        with open("/proc/%d/status" % pid) as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) / 1024
    before, most, over = resident(), 0, threading.Event()

    def watch():
        nonlocal most
        while not over.wait(0.01):
            most = max(most, resident() - before)
    watcher = threading.Thread(target=watch)
    watcher.start()
    result = work()
    over.set()
    watcher.join()
    return result, most


def idle_connections_kib(martlet, count):
    """Memory of connections that are kept and say nothing, after a call each."""
    before = martlet.memory_mib()
    sockets = []
    request = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", martlet.port))
        connection.sendall(request)
        connection.recv(4096)
        sockets.append(connection)
    grown = (martlet.memory_mib() - before) * 1024 / count
    for connection in sockets:
        connection.close()
    return grown


def thousand_functions(martlet):
    before = martlet.memory_mib()
    for number in range(1000):
        martlet.deploy("f%d" % number, "env")
        martlet.scale("f%d" % number, 0)
    times = []
    for _ in range(10):
        started = time.perf_counter()
        martlet.ask("GET", "/system/functions")
        times.append((time.perf_counter() - started) * 1000)
    return martlet.memory_mib() - before, statistics.median(times)


def against(name, value, control, ratio, goal):
    return (name, value, "%s: ratio %.2f" % (control, ratio), goal)


def proxy_rows(martlet, watchdog_binary, origin, folder, rounds, seconds):
    script = os.path.join(folder, "post.lua")
    with open(script, "w") as file:
        file.write(POST)
    rows = []
    direct = "http://127.0.0.1:%d/" % origin
    call = "http://127.0.0.1:%d/function/origin" % martlet.port
    pids = [martlet.process.pid]
    with nginx(folder, origin) as (base, workers), watchdog(watchdog_binary, folder, origin) as (dog, dogs, listening):
        for connections in (1, 16, 64, 256):
            for kind, lua in (("GET", None), ("POST 1 KiB", script)):
                # What a goal depends on is measured more often; a percentile of one connection most of all, in which a
                # single hiccup of the machine is seen.
                is_judged = connections in (1, 64)
                times, span = (6 * rounds, 1) if connections == 1 else (2 * rounds if is_judged else rounds, seconds)
                loads = {
                    "nginx": lambda: Load(base + "/", connections, span, workers, lua),
                    "martlet": lambda: Load(call, connections, span, pids, lua)}
                if is_judged:
                    loads["direct"] = lambda: Load(direct, connections, span, script=lua)
                if connections == 64 and lua is None:
                    loads["watchdog"] = lambda: Load(dog, 64, span, dogs)
                seen = medians(times, **loads)
                ours, theirs = seen["martlet"], seen["nginx"]
                rows.append(against(
                    "%s, %d connection%s: requests/s" % (kind, connections, "s" * (connections > 1)), "%.0f" % ours["rate"],
                    "nginx %.0f" % theirs["rate"], ours["rate ratio"], "≥ 1.0" if connections == 64 else ""))
                if is_judged:
                    for key in ("p50", "p99"):
                        mine, other = (seen[name][key] - seen["direct"][key] for name in ("martlet", "nginx"))
                        rows.append(against(
                            "%s, %d connection%s: %s added to direct %.0f µs" % (
                                kind, connections, "s" * (connections > 1), key, seen["direct"][key]),
                            "%.0f µs" % mine, "nginx %.0f µs" % other, mine / max(other, 1), "≤ 1.1"))
                if connections == 64 and lua is None:
                    rows.append(against(
                        "GET, 64 connections: CPU per request", "%.1f µs" % ours["cpu"], "nginx %.1f µs" % theirs["cpu"],
                        ours["cpu ratio"], "≤ 1.05"))
                    rows.append(against(
                        "`fwatchdog`, mode http, GET, 64 connections: requests/s", "%.0f" % seen["watchdog"]["rate"],
                        "nginx %.0f" % theirs["rate"], seen["watchdog"]["rate ratio"], "≥ 1.0"))
        rows += stream_rows(martlet, base, call, folder)
        resident = resident_mb(dogs[0])
    fresh, _ = watchdog_at_rest(watchdog_binary, folder, origin, is_cached=False)
    cached, listening = watchdog_at_rest(watchdog_binary, folder, origin, is_cached=True)
    rows.append(("`fwatchdog`: size", "%.1f MB" % (os.path.getsize(watchdog_binary) / 1e6), "", "≤ 15 MB"))
    rows.append(("`fwatchdog`: resident when idle, its file read for this start", "%.1f MB" % fresh,
                 "its file all in the page cache before: %.1f MB; after the load above: %.1f MB" % (cached, resident),
                 "≤ 10 MB"))
    rows.append(("`fwatchdog`: from exec to listening", "%.1f ms" % listening, "", "≤ 15 ms"))
    return rows


def resident_mb(pid):
    with open("/proc/%d/status" % pid) as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) * 1024 / 1e6


def watchdog_at_rest(binary, folder, origin, is_cached):
    """Memory when idle, and the milliseconds until it listens.

    Of a program whose file is in memory the kernel maps more than was ever used.
    """
    copy = os.path.join(folder, "fwatchdog")
    shutil.copy(binary, copy)
    if not is_cached:
        with open(copy, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    with watchdog(copy, folder, origin) as (_, dogs, listening):
        time.sleep(0.3)
        return resident_mb(dogs[0]), listening


def stream_rows(martlet, base, call, folder):
    size = 1 << 30
    source = os.path.join(folder, "gibibyte")
    with open(source, "wb") as file:
        file.truncate(size)
    rows = []
    for name, path, upload in (("down", "/bytes/%d" % size, None), ("up", "/", source)):
        theirs = statistics.median(stream_mib_per_s(base + path, size, upload) for _ in range(3))
        (ours, growth) = peak_growth(martlet.process.pid, lambda: statistics.median(
            stream_mib_per_s(call + path, size, upload) for _ in range(3)))
        rows.append(against("1 GiB streamed %s, MiB/s (memory grew by %.1f MiB at most)" % (name, growth),
                            "%.0f" % ours, "nginx %.0f" % theirs, ours / theirs, "≥ 0.7"))
    with open(source, "wb") as file:
        file.truncate(2 * size)
    (_, growth) = peak_growth(martlet.process.pid, lambda: both_ways(call, 2 * size, source))
    rows.append(("2 GiB down and 2 GiB up at the same time: memory grew by at most", "%.1f MiB" % growth, "", "≤ 8 MiB each"))
    os.remove(source)
    return rows


def both_ways(url, size, source):
    down = threading.Thread(target=stream_mib_per_s, args=(url + "/bytes/%d" % size, size))
    down.start()
    stream_mib_per_s(url + "/", size, source)
    down.join()


def measure(binary, watchdog_binary, rounds, seconds):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        origin, spawn = (os.path.join(folder, name) for name in ("origin", "spawn"))
        for program in (origin, spawn):
            code = source(os.path.basename(program))
            subprocess.run(["gcc", "-O2", "-pthread", "-o", program, code], check=True)
        origin_port = free_port()
        martlet = Martlet(binary, os.path.join(folder, "data"))
        try:
            idle = martlet.memory_mib()
            idle_connection = idle_connections_kib(martlet, 10_000)
            martlet.deploy("origin", origin, mode="http")
            wait_until(lambda: martlet.ready("origin"))
            with running([origin, str(origin_port)], stdout=subprocess.DEVNULL):
                wait_until(lambda: accepts(origin_port))
                rows = proxy_rows(martlet, watchdog_binary, origin_port, folder, rounds, seconds)
            martlet.deploy("cat", "cat")
            forks, bare = [], []
            for _ in range(rounds):
                forks.append(Load("http://127.0.0.1:%d/function/cat" % martlet.port, 8, seconds).rate)
                bare.append(float(subprocess.run(
                    [spawn, "8", str(seconds)], capture_output=True, text=True, check=True).stdout))
            fork_ratio, forks, bare = paired(forks, bare), statistics.median(forks), statistics.median(bare)
            growth, listing = thousand_functions(martlet)
        finally:
            martlet.stop()
        again = Martlet(binary, os.path.join(folder, "data"))
        again.stop()
    return rows + [
        against("a process per call (`cat`), 8 connections, calls/s", "%.0f" % forks,
                "a bare C loop of posix_spawn %.0f" % bare, fork_ratio, "≥ 0.6, and ≥ 800/s"),
        ("10,000 idle kept connections, each", "%.1f KiB" % idle_connection, "", "≤ 12 KiB"),
        ("resident memory when ready, no functions", "%.0f MiB" % idle, "", "≤ 40 MB"),
        ("1,000 functions at zero: growth of memory", "%.1f MiB" % growth, "", "≤ 20 MB"),
        ("1,000 functions at zero: `GET /system/functions`", "%.0f ms" % listing, "", "≤ 50 ms"),
        ("from exec to ready, nothing stored", "%.0f ms" % martlet.ready_ms, "", "≤ 300 ms"),
        ("from exec to ready, 1,000 functions stored", "%.0f ms" % again.ready_ms, "", "≤ 300 ms"),
    ]


def report(rows, rounds):
    today = datetime.date.today().isoformat()
    machine = "%d cores, %s, Linux %s" % (os.cpu_count(), platform.machine(), platform.release().split("-")[0])
    lines = [
        "# Benchmarks", "",
        "Written by `scripts/bench` on %s (%s, release build, %d interleaved rounds, medians)." % (today, machine, rounds),
        "Load comes from `wrk` on the same machine; the function is `Benchmarks/Origin/origin.c`, which answers 12 bytes; nginx",
        "has buffering off, kept upstream connections and a worker per core. Rows of a kind are measured in turn within each",
        "round, and ratios of rates and of CPU are medians of the rounds' ratios. Look at those: the absolute numbers are the",
        "machine's.", "",
        "What a call costs in instructions and allocations is counted by `scripts/bench --counts` and compared with",
        "`Benchmarks/thresholds.json`; that does not depend on the machine's load.", "",
        "| what | Martlet | beside it | goal |", "|---|---|---|---|",
    ]
    return "\n".join(lines + ["| %s | %s | %s | %s |" % row for row in rows]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--watchdog", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--only", choices=["async", "queues", "scaling"], help="print the rows of one kind, write nothing")
    parser.add_argument("--output", default=os.path.join(HERE, "..", "Documentation", "benchmarks.md"))
    options = parser.parse_args()
    import async_rows
    import scaling_rows
    binary = os.path.abspath(options.binary)
    if options.only:
        kinds = {"async": async_rows.measure, "queues": async_rows.measure_queues, "scaling": scaling_rows.measure}
        for row in kinds[options.only](binary, options.rounds, options.seconds):
            print("| %s | %s | %s | %s |" % row)
        return
    rows = measure(binary, os.path.abspath(options.watchdog), options.rounds, options.seconds)
    rows += scaling_rows.measure(binary, options.rounds, options.seconds)
    rows += async_rows.measure(binary, options.rounds, options.seconds)
    rows += async_rows.measure_queues(binary, options.rounds, options.seconds)
    text = report(rows, options.rounds)
    with open(options.output, "w") as file:
        file.write(text)
    print(text)


if __name__ == "__main__":
    main()
