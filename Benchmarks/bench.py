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
import socket
import statistics
import subprocess
import tempfile
import time

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
            raise SystemExit("Nothing happened within %d s." % seconds)
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

    def __init__(self, binary, folder):
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [binary, "up", "--port", "0", "--metrics-port", "0", "--no-auth", "--data-dir", folder],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
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

    def deploy(self, name, command, **variables):
        self.ask("POST", "/system/functions",
                 {"service": name, "image": "host", "envProcess": command, "envVars": variables})

    def scale(self, name, count):
        self.ask("POST", "/system/scale-function/" + name, {"serviceName": name, "replicas": count})

    def ready(self, name):
        return json.loads(self.ask("GET", "/system/function/" + name)).get("availableReplicas", 0)


def wrk(url, connections, seconds):
    text = subprocess.run(
        ["wrk", "-t1", "-c%d" % connections, "-d%ds" % seconds, "--latency", url],
        capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text:
        raise SystemExit("Some answers were no success:\n" + text)
    median, unit = re.search(r"50%\s+([\d.]+)(us|ms|s)", text).groups()
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
    return rate, float(median) * {"us": 1, "ms": 1000, "s": 1e6}[unit]


def nginx_configuration(folder, port, origin):
    path = os.path.join(folder, "nginx.conf")
    with open(path, "w") as file:
        file.write("""
worker_processes %d; daemon off; pid %s/nginx.pid; error_log %s/error.log;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000000; client_body_temp_path %s; proxy_temp_path %s;
  fastcgi_temp_path %s; uwsgi_temp_path %s; scgi_temp_path %s;
  upstream origin { server 127.0.0.1:%d; keepalive 256; keepalive_requests 1000000000; }
  server { listen 127.0.0.1:%d; location / {
    proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; } }
}
""" % ((os.cpu_count(),) + (folder,) * 7 + (origin, port)))
    return path


def throughput(martlet, origin_port, folder, rounds, seconds):
    port = free_port()
    with running(["nginx", "-p", folder, "-c", nginx_configuration(folder, port, origin_port)],
                 stderr=subprocess.DEVNULL):
        wait_until(lambda: accepts(port))
        urls = {"direct": "http://127.0.0.1:%d/" % origin_port, "nginx": "http://127.0.0.1:%d/" % port,
                "martlet": "http://127.0.0.1:%d/function/origin" % martlet.port}
        rates = {name: [] for name in urls}
        medians = {name: [] for name in urls}
        for _ in range(rounds):
            for name in ("nginx", "martlet"):
                rates[name].append(wrk(urls[name], 64, seconds)[0])
            for name in urls:
                medians[name].append(wrk(urls[name], 1, seconds)[1])
    return ({name: statistics.median(values) for name, values in rates.items() if values},
            {name: statistics.median(values) for name, values in medians.items()})


def own_start_ms(origin, count=20):
    times = []
    for _ in range(count):
        port = free_port()
        started = time.perf_counter()
        with running([origin, str(port)]):
            wait_until(lambda: accepts(port), pause=0.0001)
            times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def cold_start_ms(martlet, count=50):
    times = []
    for _ in range(count):
        martlet.scale("origin", 0)
        wait_until(lambda: not martlet.ready("origin"))
        connection = http.client.HTTPConnection("127.0.0.1", martlet.port)
        connection.connect()
        started = time.perf_counter()
        connection.request("GET", "/function/origin")
        connection.getresponse().read()
        times.append((time.perf_counter() - started) * 1000)
        connection.close()
    return statistics.median(times)


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


def measure(binary, rounds, seconds):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        origin = os.path.join(folder, "origin")
        subprocess.run(["gcc", "-O2", "-o", origin, os.path.join(HERE, "origin.c")], check=True)
        origin_port = free_port()
        martlet = Martlet(binary, os.path.join(folder, "data"))
        try:
            idle = martlet.memory_mib()
            martlet.deploy("origin", origin, mode="http")
            wait_until(lambda: martlet.ready("origin"))
            with running([origin, str(origin_port)]):
                wait_until(lambda: accepts(origin_port))
                rates, medians = throughput(martlet, origin_port, folder, rounds, seconds)
            cold, own = cold_start_ms(martlet), own_start_ms(origin)
            martlet.deploy("cat", "cat")
            forks = statistics.median(
                wrk("http://127.0.0.1:%d/function/cat" % martlet.port, 8, seconds)[0] for _ in range(rounds))
            growth, listing = thousand_functions(martlet)
        finally:
            martlet.stop()
        again = Martlet(binary, os.path.join(folder, "data"))
        again.stop()
    added = {name: medians[name] - medians["direct"] for name in ("nginx", "martlet")}
    return [
        ("requests/s, 64 connections", "%.0f" % rates["martlet"],
         "nginx %.0f: ratio %.2f" % (rates["nginx"], rates["martlet"] / rates["nginx"]), "≥ 0.8 of nginx"),
        ("median added at 1 connection (direct %.0f µs)" % medians["direct"], "%.0f µs" % added["martlet"],
         "nginx %.0f µs: ratio %.2f" % (added["nginx"], added["martlet"] / added["nginx"]), "≤ 1.5 × nginx"),
        ("a call that starts the function from zero", "%.1f ms" % cold,
         "the function's own start: %.1f ms" % own, "≤ 15 ms beyond its own start"),
        ("a process per call (`cat`), 8 connections", "%.0f/s" % forks, "", "≥ 800/s"),
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
        "Load comes from `wrk` on the same machine; the function is `Benchmarks/origin.c`, which answers 12 bytes; nginx",
        "has `proxy_buffering off`, kept upstream connections and a worker per core. Look at the ratios: the absolute",
        "numbers are the machine's.", "",
        "| what | Martlet | beside it | goal |", "|---|---|---|---|",
    ]
    return "\n".join(lines + ["| %s | %s | %s | %s |" % row for row in rows]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--output", default=os.path.join(HERE, "..", "Documentation", "benchmarks.md"))
    options = parser.parse_args()
    text = report(measure(os.path.abspath(options.binary), options.rounds, options.seconds), options.rounds)
    with open(options.output, "w") as file:
        file.write(text)
    print(text)


main()
