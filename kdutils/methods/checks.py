"""What the settings of several methods have to satisfy."""


def require_temperature(temperature: float, name: str = "temperature") -> None:
    """Refuse a temperature, the setting of that name, that is not above 0."""
    if not temperature > 0:
        raise ValueError(f"{name} has to be above 0, not {temperature}")


def require_weights(**weights: float) -> None:
    """Refuse weights of loss terms, given by their names, that are below 0."""
    for name, weight in weights.items():
        if not weight >= 0:
            raise ValueError(f"{name} has to be 0 or more, not {weight}")


def require_whole(least: int, **counts: float) -> None:
    """Refuse counts, given by their names, that are no whole number from `least` on."""
    for name, count in counts.items():
        if count < least or count != int(count):
            raise ValueError(f"{name} has to be a whole number from {least} on, not {count}")
