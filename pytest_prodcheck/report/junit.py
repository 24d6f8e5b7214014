"""The verdict in JUnit XML: as properties, and as a case of its own if it is not a pass."""

from xml.etree import ElementTree

from pytest_prodcheck.model import Run, Verdict
from pytest_prodcheck.report import phrases


def with_verdict(xml: str, run: Run, verdict: Verdict) -> str:
    """Return pytest's JUnit text with the verdict added.

    Without it, a CI system that only counts failed cases would show an inconclusive run, in which
    nothing failed, as green.
    """
    root = ElementTree.fromstring(xml)  # noqa: S314 - pytest has just written it
    suite = root if root.tag == "testsuite" else root[0]
    properties = suite.find("properties")
    if properties is None:
        properties = ElementTree.Element("properties")
        suite.insert(0, properties)
    for name, value in (
        ("run_id", run.run_id),
        ("target", run.target.name),
        ("verdict", verdict.verdict),
        ("decision", verdict.decision),
        ("score", "" if verdict.score is None else f"{verdict.score:g}"),
        *(("warning", text) for text in phrases.warned(run)),
    ):
        ElementTree.SubElement(properties, "property", name=f"prodcheck.{name}", value=value)
    if verdict.exit_code:
        case = ElementTree.SubElement(suite, "testcase", classname="prodcheck", name="verdict")
        message = f"{verdict.verdict}: {verdict.decision}"
        failure = ElementTree.SubElement(case, "failure", message=message)
        failure.text = "\n".join(verdict.reasons)
    _count(suite)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def _count(suite: ElementTree.Element) -> None:
    """Set the counts in the attributes of *suite* by its elements: readers use either."""
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(sum(case.find(tag) is not None for case in cases)))
