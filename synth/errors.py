"""Errors a user can mend. The command line prints them without a traceback and exits with status 2."""


class SynthError(Exception):
    """Something is wrong with an input, a setting or the machine; the message says what, where and what to do.

    Args:
        problem: What is wrong, with the file, clip or field it concerns.
        hint: The next step for the user, one sentence. Optional.
    """

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.problem}. {self.hint}" if self.hint else self.problem

    def __reduce__(self) -> tuple[type["SynthError"], tuple[str, str]]:
        return type(self), (self.problem, self.hint)
