"""The ceiling: what the sender takes at most, as far as its refusals tell. It does no I/O."""

from math import inf

# Parts of what the sender takes: left out after the first refusal, when that is hardly known; left
# out after any other; tried out beyond it after twice the time until they are back.
FIRST_DIP, DIP, RISE = 0.5, 0.05, 0.15
# Seconds of full use until that part is back, at so many open requests. With fewer it is sooner, by
# the cube root as in CUBIC: so processes that share a sender come to have equal shares.
RECOVERY, USUAL_LOAD = 5.0, 25
LEAST_RECOVERY, MOST_RECOVERY = 1.0, 10.0
LEAST_KEPT = 0.25  # at least, at any one
NEARLY_ALL = 0.8  # share of refusals that says nothing about how much would be taken

MEMORY = 1000  # accepted requests after which the shares are measured again
# Refusals are usual where they are not fewer after so many cuts and so many more refusals.
FRUITLESS_CUTS, FRUITLESS_REFUSALS = 3, 10
BELIEVED = 20.0  # seconds; then it is found out anew
BACK = 0.9  # of the open requests before the first of those cuts; from there on it is a new series
MOST_USUAL = 0.3  # share of refusals; more is always taken for too many requests
TOLERANCE, SPARE = 1.5, 3  # refusals: so many times the usual share, and so many more


class Ceiling:
    """What the sender takes at most.

    After a refusal it is lower, comes back quickly at first, rests at what was taken before, and
    then rises faster and faster to find out whether more is taken by now: the curve of CUBIC
    (RFC 9438, 4.2), in multiples of what is taken.
    """

    def __init__(self) -> None:
        """Begin without a ceiling."""
        self._top = inf  # open requests that the sender takes
        self._age = 0.0  # seconds of full use since the last cut
        self._dip = FIRST_DIP
        self._taken = self._refused = 0  # since the last cut, or the last MEMORY answers
        self._usual = 0.0  # share of refusals that does not come from how much is open
        self._usual_time = 0.0  # seconds of full use since that was found
        # Of cuts that followed one another without the ceiling coming back in between:
        self._cuts = 0
        self._first_load = self._first_share = 0.0
        self._later_taken = self._later_refused = 0

    @property
    def is_known(self) -> bool:
        """Whether there is one."""
        return self._top < inf

    @property
    def value(self) -> float:
        """The open requests that there may be."""
        if not self.is_known:
            return inf
        phase = self._age / self._recovery - 1
        return self._top * (1 + (self._dip if phase < 0 else RISE) * phase**3)

    @property
    def is_exceeded(self) -> bool:
        """Whether more was refused than usual."""
        if not self._usual:
            return self._refused > 0
        return self._refused > TOLERANCE * self._usual * (self._taken + self._refused) + SPARE

    @property
    def _recovery(self) -> float:
        seconds: float = RECOVERY * (self._top / USUAL_LOAD) ** (1 / 3)
        return min(MOST_RECOVERY, max(LEAST_RECOVERY, seconds))

    def count(self, *, taken: int, refused: int) -> None:
        """Count answers."""
        self._taken += taken
        self._refused += refused

    def rise(self, seconds: float) -> None:
        """Rise for so many seconds of full use."""
        self._age += seconds
        self._usual_time += seconds
        if self._usual_time > BELIEVED:
            self._usual = 0.0
        if self._taken >= MEMORY:
            self._usual = min(self._usual, self._refused / self._taken)
            self._taken = self._refused = 0

    def lower(self, load: float) -> float:
        """Lower it, since of `load` open requests some were refused; return how many may be open.

        Where refusals have turned out to be usual, it goes back to where it was instead.
        """
        taken, refused = self._taken, self._refused
        self._taken = self._refused = 0
        share = refused / (taken + refused)
        if share > NEARLY_ALL:
            return load * LEAST_KEPT
        if self._is_fruitless(taken, refused, load):
            self._usual = self._later_refused / (self._later_taken + self._later_refused)
            self._usual_time = 0.0
            self._top = self._first_load
            self._age = self._recovery
        else:
            self._dip = DIP if self.is_known else FIRST_DIP
            self._top = load * max(LEAST_KEPT, 1 - share)
            self._age = 0.0
        return self.value

    def _is_fruitless(self, taken: int, refused: int, load: float) -> bool:
        """Tell whether the sender refuses the same share of requests, however few are open."""
        share = refused / (taken + refused)
        if share > MOST_USUAL or load > BACK * self._first_load:
            self._first_load, self._first_share = load, share
            self._cuts = self._later_taken = self._later_refused = 0
            return False
        self._cuts += 1
        self._later_taken += taken
        self._later_refused += refused
        if self._cuts < FRUITLESS_CUTS or self._later_refused < FRUITLESS_REFUSALS:
            return False
        usual = self._later_refused / (self._later_taken + self._later_refused)
        return min(share, usual) > self._first_share / 2
