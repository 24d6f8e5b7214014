"""Detection of network tools in command lines."""

import re
from collections.abc import Sequence

# With one word a line this would take fifty lines.
# fmt: off
_NETWORK_TOOLS = frozenset({
    "ab", "aria2c", "bombardier", "curl", "curlie", "ftp", "grpcurl", "hey", "http",
    "https", "httpie", "hurl", "k6", "nc", "ncat", "netcat", "newman", "oha", "siege",
    "socat", "telnet", "vegeta", "websocat", "wget", "wget2", "wrk", "xh", "xhs",
})
_RUNNERS = frozenset({
    "busybox", "chrt", "command", "doas", "env", "eval", "exec", "faketime", "ionice", "ltrace",
    "nice", "nohup", "numactl", "nsenter", "parallel", "setpriv", "setsid", "stdbuf", "strace",
    "sudo", "taskset", "time", "timeout", "torsocks", "unbuffer", "unshare", "watch", "xargs",
})
# fmt: on
_FINDERS = frozenset({"fd", "fdfind", "find"})
_EXECUTING = frozenset({"-exec", "-execdir", "-ok", "-okdir", "-x", "-X", "--exec"})
_SHELLS = frozenset({"ash", "bash", "dash", "ksh", "sh", "zsh"})
_COMMANDS = re.compile(r"&&|\|\||[;&|\n(){}`]|\$\(")


def network_program(argv: Sequence[str]) -> str | None:
    """Return the known network tool that a command line starts, through a shell or runner too.

    Only the name of the executable counts: a copy with another name, or an interpreter with a
    script, is not recognized.
    """
    name = argv[0].rpartition("/")[2] if argv else ""
    rest = argv[1:]
    if name in _NETWORK_TOOLS:
        return name
    if name in _SHELLS and any(word.startswith("-") for word in rest):
        return _in_script(next((word for word in rest if not word.startswith("-")), ""))
    if name in _FINDERS:
        for i, word in enumerate(rest):
            if word in _EXECUTING and (found := network_program(rest[i + 1 :])):
                return found
    if name in _RUNNERS:
        before = ""
        for i, word in enumerate(rest):
            if word.rpartition("/")[2] in _NETWORK_TOOLS | _SHELLS | _RUNNERS:
                return network_program(rest[i:])
            # Before a runner's program there may be options, their values, VAR=value, and times.
            if not (word.startswith("-") or before.startswith("-") or re.match(r"\w+=|\d", word)):
                return None
            before = word
    return None


def _in_script(script: str) -> str | None:
    """Return the known network tool that a shell command line starts, in any of its commands."""
    for command in _COMMANDS.split(script):
        words = [word.strip("\"'\\") for word in command.split()]
        while words and (re.match(r"\w+=", words[0]) or words[0] in ("!", "then", "do", "else")):
            words.pop(0)
        found = network_program(words)
        if found is not None:
            return found
    return None
