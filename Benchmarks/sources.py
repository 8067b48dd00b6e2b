# SPDX-License-Identifier: Apache-2.0
"""Finds the C programs that take part in measuring."""
import os

HERE = os.path.dirname(os.path.abspath(__file__))


def source(name):
    """The path of NAME.c; programs that the package builds, too, have a folder of their own."""
    alone = os.path.join(HERE, name + ".c")
    return alone if os.path.exists(alone) else os.path.join(HERE, name.capitalize(), name + ".c")
