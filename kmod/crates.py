#!/usr/bin/env python3
"""kmod/crates.py DIRECTORY: unpacks there the crates that cargo must have at hand to build the module, from its cache,
which `cargo fetch --locked` fills. `VENDOR=DIRECTORY kmod/build.sh` then builds without a network."""

import hashlib
import io
import json
import os
import pathlib
import sys
import tarfile
import tomllib

TOP = pathlib.Path(__file__).resolve().parent.parent


def crates():
    """{name-version: checksum} of what the module's build asks for, in Cargo.lock, and of what that asks for."""
    manifest = tomllib.loads((TOP / "Cargo.toml").read_text())
    packages = tomllib.loads((TOP / "Cargo.lock").read_text())["package"]
    todo = [*manifest["dependencies"], *manifest["build-dependencies"]]
    found = {}
    while todo:
        # The lock adds the version to a name that it has twice.
        name, *version = todo.pop().split()
        for package in packages:
            if package["name"] == name and version in ([], [package["version"]]):
                crate = f"{name}-{package['version']}"
                if crate not in found:
                    # Only what is from a registry has one.
                    found[crate] = package["checksum"]
                    todo += package.get("dependencies", [])
    return dict(sorted(found.items()))


def archive(crate, checksum):
    """A crate as crates.io has it, from cargo's cache."""
    home = pathlib.Path(os.environ.get("CARGO_HOME", pathlib.Path.home() / ".cargo"))
    for path in home.glob(f"registry/cache/*/{crate}.crate"):
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() == checksum:
            return content
    sys.exit(f"{crate} is not in cargo's cache: cargo fetch --locked")


def unpack(to):
    for crate, checksum in crates().items():
        with tarfile.open(fileobj=io.BytesIO(archive(crate, checksum))) as files:
            files.extractall(to)
        # Without a list of files, cargo takes them as they are. The package's checksum is compared with the lock's.
        (to / crate / ".cargo-checksum.json").write_text(json.dumps({"files": {}, "package": checksum}))


if __name__ == "__main__":
    unpack(pathlib.Path(sys.argv[1]))
