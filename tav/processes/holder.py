"""Who holds a file lock, in words."""

from pathlib import Path


def holder_of(lock: Path) -> str:
    """As in "process 4711 (python -m tav record)", or "another process" where the system doesn't tell."""
    try:
        inode = str(lock.stat().st_ino)
        rows = [row.split() for row in Path("/proc/locks").read_text(encoding="ascii").splitlines()]
    except OSError:
        return "another process"
    # 1: FLOCK ADVISORY WRITE 4711 08:01:123456 0 EOF; a row with "->" waits for it
    pids = [row[4] for row in rows if row[1] == "FLOCK" and row[5].split(":")[-1] == inode and int(row[4]) > 0]
    return f"process {pids[0]}{_command(pids[0])}" if pids else "another process"


def _command(pid: str) -> str:
    """How a process was started, in brackets and cut to a line; "" where that can't be seen."""
    try:
        words = Path("/proc", pid, "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    line = "".join(c for c in " ".join([Path(words[0]).name, *words[1:]]).strip() if c.isprintable())
    return f" ({line if len(line) <= 80 else line[:79] + '…'})" if line else ""
