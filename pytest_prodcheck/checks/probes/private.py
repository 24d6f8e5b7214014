"""Which paths of a target must not be public."""

from pytest_prodcheck.config import Target

USUAL = (
    "/.env",
    "/.git/config",
    "/_debug",
    "/actuator/configprops",
    "/actuator/env",
    "/debug",
    "/debug/info",
    "/debug/pprof/",
    "/debug/routes",
    "/debug/vars",
    "/phpinfo.php",
    "/server-status",
)
"""Where frameworks and servers have their insides by default. None is costly to ask for: a heap
dump (`/actuator/heapdump`) can stop a production process for seconds, so it is not here."""


def private_paths(target: Target) -> tuple[str, ...]:
    """Return the paths that the target names, and on a read-only one, which is production, the
    usual ones.

    Left out are those that the target itself declares as public.
    """
    public = {target.health, *target.documentation, *target.metrics}
    public.update(probe.path for probe in target.probes)
    usual = [path for path in USUAL if target.read_only and path not in public]
    return tuple(dict.fromkeys((*target.private, *usual)))
