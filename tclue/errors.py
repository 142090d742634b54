"""Errors that the command line reports in one line, with exit code 2 and no traceback."""


class UserError(Exception):
    """One line that says what is wrong, where, and what was expected."""
