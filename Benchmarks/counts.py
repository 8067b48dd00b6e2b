# SPDX-License-Identifier: Apache-2.0
"""Counts instructions and allocations per proxied request, and compares them with the checked-in thresholds.

Counts, unlike times, are the same on every machine and under any load. Each is the difference of two runs of different
length, so that start and end cancel out.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

from sources import source

HERE = os.path.dirname(os.path.abspath(__file__))
THRESHOLDS = os.path.join(HERE, "thresholds.json")
FEW, MANY = 200, 1200


def compile_c(folder, name, *flags):
    target = os.path.join(folder, name)
    subprocess.run(["gcc", "-O2", "-o", target, source(name), *flags], check=True)
    return target


class Run:
    """One life of the engine, with a server behind it and so many calls through it."""

    def __init__(self, folder, engine, calls, prefix=(), environment=None):
        origin = subprocess.Popen([os.path.join(folder, "origin"), "0"], stdout=subprocess.PIPE, text=True)
        try:
            upstream = origin.stdout.readline().strip()
            process = subprocess.Popen(
                [*prefix, engine, upstream], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True, env={**os.environ, **(environment or {})})
            port = process.stdout.readline().strip()
            subprocess.run([os.path.join(folder, "client"), port, str(calls)], check=True, timeout=60)
            self.errors = process.communicate(timeout=60)[1]
        finally:
            origin.terminate()
            origin.wait()


def instructions(folder, engine, calls):
    output = os.path.join(folder, "callgrind.%d" % calls)
    run = Run(folder, engine, calls, ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + output])
    return int(re.search(r"Collected : (\d+)", run.errors)[1])


def allocations(folder, engine, calls):
    run = Run(folder, engine, calls, environment={"LD_PRELOAD": os.path.join(folder, "count_malloc")})
    return int(re.search(r"allocations (\d+)", run.errors)[1])


def per_request(count, folder, engine):
    return (count(folder, engine, MANY) - count(folder, engine, FEW)) / (MANY - FEW)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", required=True, help="the EngineBench program")
    parser.add_argument("--keep", help="folder to keep callgrind's files in")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or temporary
        for name, flags in (("origin", ()), ("client", ()), ("count_malloc", ("-shared", "-fPIC", "-ldl"))):
            compile_c(folder, name, *flags)
        # Symbols stay; valgrind stumbles over the form of the rest.
        engine = os.path.join(folder, "engine")
        subprocess.run(["strip", "--strip-debug", "-o", engine, options.engine], check=True)
        seen = {
            "instructions": per_request(instructions, folder, engine),
            "allocations": per_request(allocations, folder, engine),
        }
    with open(THRESHOLDS) as file:
        thresholds = json.load(file)
    failed = False
    for name, limit in thresholds.items():
        verdict = "ok" if seen[name] <= limit else "TOO MANY"
        failed = failed or seen[name] > limit
        print("%s per request: %.1f (at most %s) %s" % (name, seen[name], limit, verdict))
    sys.exit(1 if failed else 0)


main()
