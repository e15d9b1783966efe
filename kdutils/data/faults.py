"""Faults of a data set, told all at once: whoever mends one need not come back for the next."""

SHOWN = 5


class Faults(dict[str, list[str]]):
    """What is wrong, by kind: for each kind, its cases. It is true if anything is wrong."""

    def add(self, kind: str, case: str) -> None:
        """Notes one case of a kind of fault."""
        self.setdefault(kind, []).append(case)

    def __str__(self):
        """One line a kind, with its first cases and how many more there are."""
        lines = []
        for kind, cases in self.items():
            more = f" and {len(cases) - SHOWN:,} more" if len(cases) > SHOWN else ""
            lines.append(f"  - {kind}: {', '.join(cases[:SHOWN])}{more}")
        return "\n".join(lines)
