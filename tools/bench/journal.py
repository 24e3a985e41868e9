"""Progress on the terminal, and the commands and notes for the report."""

from __future__ import annotations

import os
import time

# Cores used by other programs above which the figures are not reliable, and the seconds over which
# they are measured. The load average is no substitute: it is still high after the build.
BUSY_WARNING = 0.2
BUSY_SECONDS = 3


class Journal:
    """Collects the commands and notes of each scenario and prints progress."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.scenario = ""
        self.commands: dict[str, list[str]] = {}
        self.notes: dict[str, list[str]] = {}

    def begin(self, scenario: str, title: str, position: str) -> None:
        self.scenario = scenario
        self.say(f"\n[{position}] {scenario}: {title}")

    def say(self, text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
        lead = text[: len(text) - len(text.lstrip("\n"))]
        print(f"{lead}{minutes:3d}:{seconds:02d}  {text.lstrip()}", flush=True)

    def note(self, text: str) -> None:
        """Adds a remark on this scenario to the report."""
        notes = self.notes.setdefault(self.scenario, [])
        if text not in notes:
            notes.append(text)
            self.say(f"note: {text}")

    def command(self, command: list[str], port: int | None = None) -> None:
        """Adds a command to the report, without folders and with PORT for the port."""
        words = [word.replace(str(port), "PORT") if port else word for word in command]
        words = [os.path.basename(word) if word.startswith("/") else word for word in words]
        line = " ".join(words)
        lines = self.commands.setdefault(self.scenario, [])
        if line not in lines:
            lines.append(line)


def busy_before() -> float:
    """Number of cores that other programs use; warns if the figures would not be reliable."""
    used, total = cpu_times()
    time.sleep(BUSY_SECONDS)
    used_later, total_later = cpu_times()
    cores = (os.cpu_count() or 1) * (used_later - used) / max(total_later - total, 1)
    if cores > BUSY_WARNING:
        print(
            f"bench: other programs use {cores:.1f} cores. llama.cpp's threads wait for each"
            " other,\nso the figures will be far too low.",
            flush=True,
        )
    return cores


class Others:
    """CPU time of all programs except the bench and those that it measures."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.seconds = self.so_far()

    def cores(self) -> float:
        """Mean number of cores used since construction.

        Call this after all measured programs have exited: only then does the system report their
        CPU time.
        """
        return (self.so_far() - self.seconds) / (time.monotonic() - self.began)

    @staticmethod
    def so_far() -> float:
        own = os.times()
        taken = own.user + own.system + own.children_user + own.children_system
        return cpu_times()[0] / os.sysconf("SC_CLK_TCK") - taken


def cpu_times() -> tuple[int, int]:
    """Busy ticks and all ticks of all CPUs."""
    with open("/proc/stat", encoding="ascii") as stat:
        ticks = [int(word) for word in stat.readline().split()[1:9]]
    idle, waiting = ticks[3:5]
    return sum(ticks) - idle - waiting, sum(ticks)
