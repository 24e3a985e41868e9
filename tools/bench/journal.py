"""What happens while it happens: progress on the terminal, and the commands for the report."""

from __future__ import annotations

import os
import time

# Cores that others keep busy beyond which figures say little, and how long that is looked at. The
# load average would not do: it is still high after the build that comes before.
BUSY_WARNING = 0.2
BUSY_SECONDS = 3


class Journal:
    """Collects the commands of each scenario and says what is going on."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.scenario = ""
        self.commands: dict[str, list[str]] = {}
        self.notes: dict[str, list[str]] = {}

    def begin(self, scenario: str, title: str, place: str) -> None:
        self.scenario = scenario
        self.say(f"\n[{place}] {scenario}: {title}")

    def say(self, text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
        lead = text[: len(text) - len(text.lstrip("\n"))]
        print(f"{lead}{minutes:3d}:{seconds:02d}  {text.lstrip()}", flush=True)

    def note(self, text: str) -> None:
        """Something that a reader of the report must know about this scenario."""
        notes = self.notes.setdefault(self.scenario, [])
        if text not in notes:
            notes.append(text)
            self.say(f"note: {text}")

    def command(self, command: list[str], port: int | None = None) -> None:
        """Keeps a command as a reader would type it: without folders, PORT for the port."""
        words = [word.replace(str(port), "PORT") if port else word for word in command]
        words = [os.path.basename(word) if word.startswith("/") else word for word in words]
        line = " ".join(words)
        lines = self.commands.setdefault(self.scenario, [])
        if line not in lines:
            lines.append(line)


def busy_before() -> float:
    """How many cores others keep busy, and a warning if that is more than hardly any."""
    used, total = cpu_times()
    time.sleep(BUSY_SECONDS)
    used_later, total_later = cpu_times()
    cores = (os.cpu_count() or 1) * (used_later - used) / max(total_later - total, 1)
    if cores > BUSY_WARNING:
        print(
            f"bench: something else keeps {cores:.1f} cores busy. llama.cpp's threads wait for each"
            " other,\nso the figures will be far too low; they are good for trying the bench only.",
            flush=True,
        )
    return cores


class Others:
    """What others than the bench and its contestants do with the processors from now on."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.seconds = self.so_far()

    def cores(self) -> float:
        """Cores they have kept busy. To be asked when all contestants have ended: only then does the
        system say what these took."""
        return (self.so_far() - self.seconds) / (time.monotonic() - self.began)

    @staticmethod
    def so_far() -> float:
        own = os.times()
        taken = own.user + own.system + own.children_user + own.children_system
        return cpu_times()[0] / os.sysconf("SC_CLK_TCK") - taken


def cpu_times() -> tuple[int, int]:
    """Ticks in which processors had work, and all ticks."""
    with open("/proc/stat", encoding="ascii") as stat:
        ticks = [int(word) for word in stat.readline().split()[1:9]]
    idle, waiting = ticks[3:5]
    return sum(ticks) - idle - waiting, sum(ticks)
