"""As whom a child server runs and where its files may lie. Postgres refuses root, and mosquitto leaves root.

As an ordinary user: as ourselves. As root, the first that works:
1. demoted to a service account, when that account can reach the program and the directory;
2. inside a user namespace of one account, where files stay root's own, so 0700 parents are no obstacle;
3. demoted, with the files moved to a readable place under /var/lib (the caller copies the program there).
Parent directories are never opened to anybody.
"""

import hashlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

import msgspec

from dispatch.errors import UserMistake

ACCOUNTS = ("postgres", "daemon", "nobody")
READABLE_PLACE = Path("/var/lib/dispatch112")
TRIAL_LIMIT_S = 10.0


class Identity(TypedDict, total=False):
    """What subprocess takes to change the user."""

    user: int
    group: int
    extra_groups: list[int]


class Footing(msgspec.Struct, frozen=True, kw_only=True):
    """As whom: words put before the command, or ids to change to; and who must own the files."""

    owner: int
    group: int
    prefix: tuple[str, ...] = ()
    demoted: bool = False

    def identity(self) -> Identity:
        if not self.demoted:
            return {}
        return {"user": self.owner, "group": self.group, "extra_groups": []}


def find_footing(program: Path, home: Path, environment: Mapping[str, str] | None = None) -> Footing | None:
    """How `program` can run with its files in `home`, an existing directory; None: only after moving both."""
    if os.geteuid() != 0:
        return Footing(owner=os.geteuid(), group=os.getegid())
    account = service_account()
    demoted = Footing(owner=account.pw_uid, group=account.pw_gid, demoted=True)
    known = {"PATH": os.defpath, **(environment or {})}
    if _reaches(demoted, program, home, known):
        return demoted
    inside = ("unshare", "--user", f"--map-user={account.pw_uid}", f"--map-group={account.pw_gid}", "--")
    namespace = Footing(owner=0, group=0, prefix=inside)
    if shutil.which("unshare", path=os.defpath) and _reaches(namespace, program, home, known):
        return namespace
    return None


def moved_home(home: Path) -> tuple[Path, Footing]:
    """The readable place that stands in for `home`, and the demoted footing there. Root only."""
    account = service_account()
    name = hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:12]
    place = READABLE_PLACE / name
    for directory in (READABLE_PLACE, place):
        directory.mkdir(mode=0o711, exist_ok=True)
    return place, Footing(owner=account.pw_uid, group=account.pw_gid, demoted=True)


def readable_copy(source: Path, target: Path) -> None:
    """Programs and libraries as every account may read and run them, whatever our umask was."""
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755)


def service_account() -> pwd.struct_passwd:
    """An account with no rights that the machine already has: nothing is ever added to its users."""
    for name in ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise UserMistake(f"as root a service account is needed: none of {', '.join(ACCOUNTS)} exists")


def own_directory(directory: Path, footing: Footing) -> None:
    """Make `directory` private to the footing's owner, with all that lies in it.

    Raises UserMistake when it belongs to somebody else and we are not root.
    """
    directory.mkdir(mode=0o700, exist_ok=True)
    owner = directory.stat().st_uid
    if owner == footing.owner:
        return
    if os.geteuid() != 0:
        raise UserMistake(f"{directory} belongs to user id {owner}: choose another --data-dir")
    for path in (directory, *directory.rglob("*")):
        os.chown(path, footing.owner, footing.group, follow_symlinks=False)


def _reaches(footing: Footing, program: Path, home: Path, environment: Mapping[str, str]) -> bool:
    """Asked of the kernel, not computed from modes: can this footing enter `home` and run the program?"""
    question = 'cd "$1" || exit 126; "$2" --help >/dev/null 2>&1; test $? -lt 126'
    try:
        trial = subprocess.run(
            [*footing.prefix, "/bin/sh", "-c", question, "sh", home, program],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd="/",
            env=dict(environment),
            timeout=TRIAL_LIMIT_S,
            **footing.identity(),
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return trial.returncode == 0
