"""Every no, with its code. The faces translate these, once each; nothing else decides what a client reads."""

from enum import StrEnum


class RefusalCode(StrEnum):
    """Why a command or a question was refused, in the words of the contract."""

    INVALID = "INVALID"
    NOT_FOUND = "NOT_FOUND"
    INACTIVE = "INACTIVE"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    VERSION_CONFLICT = "VERSION_CONFLICT"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    TOPIC_OUTSIDE_PURPOSE = "TOPIC_OUTSIDE_PURPOSE"
    PURPOSE_OUTSIDE_PROFILE = "PURPOSE_OUTSIDE_PROFILE"
    EFFECTIVE_IN_FUTURE = "EFFECTIVE_IN_FUTURE"
    INVALID_ADDRESS = "INVALID_ADDRESS"
    ERASED = "ERASED"
    EXPIRED_TOKEN = "EXPIRED_TOKEN"  # noqa: S105 - the name of a code
    INVALID_TOKEN = "INVALID_TOKEN"  # noqa: S105 - the name of a code
    TOO_MANY = "TOO_MANY"


class Refusal(Exception):
    """An expected no: what is wrong, and the path of the input field that it is about. Never holds an address."""

    def __init__(self, code: RefusalCode, message: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.path = path

    def under(self, *parents: str) -> "Refusal":
        """The same refusal, its path seen from further out."""
        return Refusal(self.code, self.message, (*parents, *self.path))


class LimitExceeded(Exception):
    """More was asked for than one call may: which limit, what it allows and what was given."""

    def __init__(self, limit: str, allowed: int, given: int) -> None:
        super().__init__(f"{limit}: at most {allowed}, given {given}")
        self.limit = limit
        self.allowed = allowed
        self.given = given


class NotYetAvailable(Exception):
    """The log, or what follows it, does not hold the position yet that a read wanted to be taken account of."""

    def __init__(self, position: int, where: str = "in the log") -> None:
        super().__init__(f"position {position} is not {where} yet; ask again")
        self.position = position
