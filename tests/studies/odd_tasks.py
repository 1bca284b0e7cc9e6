"""A task that only the tests know, for this process and (as a Dask preload) for workers: it waits, raises or kills."""

import os
import signal
import time

from dbpsim.studies import tasks


class Odd(tasks.Common):
    model: str = ""
    number: int = 0
    wait: float = 0.0
    fatal: int = -1
    wrong: int = -1


def _odd(given, changes):
    time.sleep(given.wait)
    if given.number == given.fatal:
        os.kill(os.getpid(), signal.SIGKILL)
    if given.number == given.wrong:
        raise ZeroDivisionError("this point divides")
    return [{"square": given.number**2 / 7, "pid_free": True}]


tasks.TASKS["odd"] = tasks.Task(Odd, _odd)
