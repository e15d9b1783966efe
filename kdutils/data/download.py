"""Downloads that do not wait for ever."""

import threading
import urllib.request

PATIENCE = 10  # seconds without an answer


def require_answer(url: str) -> None:
    """Raises unless the address answers in time, whatever holds it up: names, routes, servers."""
    failures = []

    def ask():
        request = urllib.request.Request(url, method="HEAD")
        try:
            urllib.request.urlopen(request, timeout=PATIENCE).close()
        except Exception as error:
            failures.append(error)

    # A time limit of a socket covers neither the look-up of the name nor several addresses in
    # turn; a thread that is left behind covers all.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {PATIENCE} seconds")
    if failures:
        raise failures[0]
