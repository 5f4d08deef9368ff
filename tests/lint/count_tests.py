"""Adds up the results of one ctest run: count_tests.py FOLDER.

ctest knows programs, GoogleTest knows cases. FOLDER holds ctest.junit and one XML file for each GoogleTest program that
got to its end; a program that crashed left none and counts as one failure.
"""
import pathlib
import sys
import xml.etree.ElementTree as ElementTree


def main() -> int:
    folder = pathlib.Path(sys.argv[1])
    junit = ElementTree.parse(folder / "ctest.junit").getroot()
    programs = {"run": 0, "fail": 0, "disabled": 0, "notrun": 0}
    for case in junit.iter("testcase"):
        programs[case.get("status", "run")] += 1
    passed = failed = skipped = clean_programs = 0
    for path in folder.glob("*.xml"):
        suites = ElementTree.parse(path).getroot()
        failures = int(suites.get("failures", 0)) + int(suites.get("errors", 0))
        skips = sum(case.get("result") == "skipped" for case in suites.iter("testcase"))
        disabled = int(suites.get("disabled", 0))
        passed += int(suites.get("tests", 0)) - failures - skips - disabled
        failed += failures
        skipped += skips + disabled
        clean_programs += failures == 0
    # A sanitizer report at exit or a crash fails the program without failing a case of it.
    failed = max(failed, programs["fail"])
    passed += max(0, programs["run"] - clean_programs)
    skipped += programs["disabled"] + programs["notrun"]
    if passed + failed == 0:
        print("no test ran")
        failed = 1
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 0 if failed == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
