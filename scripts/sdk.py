#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the SDKs from schema.json with the real ``pulumi package gen-sdk``; ``--check`` says whether they are stale.

The generator wipes an SDK's folder, so the digest of the schema that all were made from is kept beside them, in
sdk/schema.sha256: together with a digest of each SDK's own files it shows both a schema that went on and an SDK that
was edited by hand, without any CLI.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "schema.json"
SDKS = ROOT / "sdk"
LANGUAGES = ("python", "nodejs", "go")
DIGESTS = SDKS / "schema.sha256"
MADE_BY_BUILDS = {"__pycache__", "build", "dist", "bin", "node_modules", "package-lock.json"}


def digest(folder: Path) -> str:
    """A digest of all generated files, their names included."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(p in MADE_BY_BUILDS or p.endswith(".egg-info") for p in parts):
            total.update("/".join(parts).encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()


def digests() -> dict[str, str]:
    """What the digest file has to say: of the schema and of each SDK."""
    found = {SCHEMA.name: hashlib.sha256(SCHEMA.read_bytes()).hexdigest()}
    return found | {f"sdk/{language}": digest(SDKS / language) for language in LANGUAGES}


def generate() -> int:
    """Run the generator for each language and write the digests."""
    pulumi = shutil.which("pulumi")
    if pulumi is None:
        sys.exit("the pulumi CLI is not on PATH, and only it makes SDKs. Try: https://www.pulumi.com/docs/install/")
    with tempfile.TemporaryDirectory() as state:
        # a backend of its own: making an SDK must not ask for anybody's account
        env = {**os.environ, "PULUMI_BACKEND_URL": f"file://{state}", "PULUMI_SKIP_UPDATE_CHECK": "true"}
        for language in LANGUAGES:
            command = [pulumi, "package", "gen-sdk", str(SCHEMA), "--language", language, "--out", str(SDKS)]
            subprocess.run(command, check=True, env=env, cwd=ROOT)
    if shutil.which("go") is None:
        sys.exit("go is not on PATH, and the SDK for Go needs its go.sum. Try: https://go.dev/doc/install")
    subprocess.run(["go", "mod", "tidy"], check=True, cwd=SDKS / "go")  # the generator names pulumi's SDK alone
    lines = [f"{value}  {name}\n" for name, value in digests().items()]
    DIGESTS.write_text("".join(lines), encoding="utf-8")
    return 0


def check() -> int:
    """0 where the SDKs were made from this schema and left as they were made."""
    if not DIGESTS.is_file():
        print(f"{DIGESTS.relative_to(ROOT)} is missing. Try: make sdk", file=sys.stderr)
        return 1
    lines = [line.split() for line in DIGESTS.read_text(encoding="utf-8").splitlines()]
    known = {name: value for value, name in lines}
    now = digests()
    if known.get(SCHEMA.name) != now[SCHEMA.name]:
        print("the SDKs were not made from this schema.json. Try: make sdk", file=sys.stderr)
        return 1
    edited = [name for name, value in now.items() if known.get(name) != value]
    for name in edited:
        print(f"{name} is missing, or was edited by hand. Try: make sdk", file=sys.stderr)
    return 1 if edited else 0


if __name__ == "__main__":
    raise SystemExit(check() if "--check" in sys.argv[1:] else generate())
