"""How far one distribution is from another."""

from keras import ops


def divergence(log_p, log_q):
    """Kullback–Leibler divergence `KL(p ‖ q)` from log-probabilities.

    Args:
        log_p: `(B, K)`.
        log_q: `(B, K)`.

    Returns:
        `(B,)`, nats; the gradient flows into both.
    """
    return ops.sum(ops.exp(log_p) * (log_p - log_q), axis=-1)
