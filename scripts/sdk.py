#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes sdk/python from schema.json with the real ``pulumi package gen-sdk``; ``--check`` says whether it is stale.

The generator wipes sdk/python, so the digest of the schema it was made from is kept beside it, in
sdk/python.schema.sha256: together with a digest of the SDK's own files it shows both a schema that went on and an
SDK that was edited by hand, without any CLI.
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
SDK = ROOT / "sdk" / "python"
DIGEST = ROOT / "sdk" / "python.schema.sha256"
MADE_BY_BUILDS = {"__pycache__", "build", "dist"}


def digest_of_sdk() -> str:
    """A digest of all generated files, their names included."""
    total = hashlib.sha256()
    for path in sorted(SDK.rglob("*")):
        parts = path.relative_to(SDK).parts
        if path.is_file() and not any(p in MADE_BY_BUILDS or p.endswith(".egg-info") for p in parts):
            total.update("/".join(parts).encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()


def stamp() -> str:
    """What the digest file has to say."""
    schema = hashlib.sha256(SCHEMA.read_bytes()).hexdigest()
    return f"{schema}  schema.json\n{digest_of_sdk()}  sdk/python\n"


def generate() -> int:
    """Run the generator and write the digests."""
    pulumi = shutil.which("pulumi")
    if pulumi is None:
        sys.exit("the pulumi CLI is not on PATH, and only it makes SDKs. Try: https://www.pulumi.com/docs/install/")
    with tempfile.TemporaryDirectory() as state:
        # a backend of its own: making an SDK must not ask for anybody's account
        env = {**os.environ, "PULUMI_BACKEND_URL": f"file://{state}", "PULUMI_SKIP_UPDATE_CHECK": "true"}
        command = [pulumi, "package", "gen-sdk", str(SCHEMA), "--language", "python", "--out", str(SDK.parent)]
        subprocess.run(command, check=True, env=env, cwd=ROOT)
    DIGEST.write_text(stamp(), encoding="utf-8")
    print(f"made {SDK.relative_to(ROOT)} from {SCHEMA.name}")
    return 0


def check() -> int:
    """0 where the SDK was made from this schema and left as it was made."""
    if not DIGEST.is_file() or not SDK.is_dir():
        print("sdk/python is missing. Try: make sdk", file=sys.stderr)
        return 1
    if DIGEST.read_text(encoding="utf-8") == stamp():
        return 0
    print("sdk/python was not made from this schema.json, or was edited by hand. Try: make sdk", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(check() if "--check" in sys.argv[1:] else generate())
