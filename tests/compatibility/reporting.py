"""For scripts that run inside another environment: one line for each case, as cases.verdict_lines reads them."""
import os
import traceback

CASES = []
UNSERVED = os.environ.get("UNSERVED", "").split(",")


def case(function):
    CASES.append(function)
    return function


def needs(feature: str):
    """Skips the case where the broker does not serve that; below @case."""
    def mark(function):
        function.needs = feature
        return function
    return mark


def report(*arguments) -> None:
    for function in CASES:
        name = function.__name__.replace("_", " ")
        if (feature := getattr(function, "needs", None)) in UNSERVED:
            print(f"SKIPPED\t{name}\tthe broker does not serve {feature}", flush=True)
            continue
        try:
            function(*arguments)
            print(f"PASSED\t{name}", flush=True)
        except Exception as error:  # a case may fail in any way, and the others still run
            where = traceback.extract_tb(error.__traceback__)[-1]
            print(f"FAILED\t{name}\t{type(error).__name__} at line {where.lineno}: {error}".replace("\n", " "), flush=True)
