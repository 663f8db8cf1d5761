"""What a process counts, in the Prometheus text format. A handful of names, so no client library."""

import threading
from collections.abc import Iterable, Iterator, Mapping

Labels = tuple[tuple[str, str], ...]
Key = tuple[str, Labels]


def key_of(name: str, **labels: str) -> Key:
    """One counter, for whoever adds to it again and again."""
    return name, tuple(labels.items())


class Counters:
    """Adds up; gauges are what they were last set to. Cheap enough for every request."""

    def __init__(self, counters: Mapping[str, str], gauges: Mapping[str, str] | None = None) -> None:
        """Each name with the words that tell what it is."""
        self._counters, self._gauges = counters, gauges or {}
        self._values: dict[Key, float] = {}
        self._lock = threading.Lock()

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to one of the counters."""
        self.add_all([(key_of(name, **labels), amount)])

    def add_all(self, amounts: Iterable[tuple[Key, float]]) -> None:
        """Add to several, by what `key_of` gives for each."""
        values = self._values
        with self._lock:
            for key, amount in amounts:
                values[key] = values.get(key, 0) + amount

    def set_all(self, name: str, values: Mapping[Labels, float]) -> None:
        """One of the gauges, in place of all it was."""
        with self._lock:
            for key in [key for key in self._values if key[0] == name]:
                del self._values[key]
            self._values.update({(name, labels): value for labels, value in values.items()})

    def value(self, name: str, **labels: str) -> float:
        """What it stands at."""
        with self._lock:
            return self._values.get((name, tuple(labels.items())), 0)

    def text(self) -> str:
        """The page at `/metrics`."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        with self._lock:
            values = sorted(self._values.items())
        for name, words in (*self._counters.items(), *self._gauges.items()):
            yield f"# HELP {name} {words}"
            yield f"# TYPE {name} {'counter' if name in self._counters else 'gauge'}"
            for (found, labels), value in values:
                if found == name:
                    shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
                    yield f"{name}{{{shown}}} {value:.15g}" if shown else f"{name} {value:.15g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
