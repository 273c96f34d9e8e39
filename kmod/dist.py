#!/usr/bin/env python3
"""kmod/dist.py DIRECTORY: makes a release there: the source with the module's crates, the modules of build/, checksums,
and the port. The same source gives the same bytes. SIGN=KEY signs the checksums with signify(1). `make dist` calls it."""

import gzip
import hashlib
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib

import crates

TOP = crates.TOP
# What a build leaves in the tree
BUILT = {"build", "target", "vendor", "__pycache__"}


def field(name):
    """A field of the package in Cargo.toml."""
    return tomllib.loads((TOP / "Cargo.toml").read_text())["package"][name]


def version():
    return field("version")


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=TOP, check=True, capture_output=True, text=True).stdout


def sources():
    """The files of the source, and the time that they bear: that of the commit, which an unpacked release keeps."""
    if not (TOP / ".git").exists():
        files = (p.relative_to(TOP) for p in TOP.rglob("*") if p.is_file())
        return [p for p in files if not BUILT & set(p.parts)], int((TOP / "Cargo.toml").stat().st_mtime)
    return [pathlib.Path(p) for p in git("ls-files", "-z").split("\0") if p], int(git("log", "-1", "--format=%ct"))


def tarball(to, name):
    files, time = sources()
    with tempfile.TemporaryDirectory() as temporary:
        vendor = pathlib.Path(temporary)
        crates.unpack(vendor)
        contents = {pathlib.Path(name, p): TOP / p for p in files}
        contents |= {pathlib.Path(name, "vendor", p.relative_to(vendor)): p for p in vendor.rglob("*") if p.is_file()}
        with (
            open(to, "wb") as raw,
            gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w") as archive,
        ):
            for path, source in sorted(contents.items()):
                entry = tarfile.TarInfo(str(path))
                content = source.read_bytes()
                entry.size = len(content)
                entry.mtime = time
                entry.mode = 0o755 if source.stat().st_mode & 0o100 else 0o644
                archive.addfile(entry, io.BytesIO(content))
    return time


def port(to, archive, time):
    """The port's files. What is filled in and added here is known once there is a release."""
    shutil.copytree(TOP / "kmod/port", to)
    names = (p.name for p in TOP.glob("tests/kyua/*") if p.is_file() and p.suffix != ".py")
    tests = [f"tests/lagg-rs/{name}" for name in sorted(names, key=str.lower)]
    values = {"version": version(), "repository": field("repository"), "tests": " \\\n\t\t\t".join(tests)}
    makefile = (to / "Makefile").read_text()
    (to / "Makefile").write_text(re.sub("@([a-z]+)@", lambda match: values[match[1]], makefile))
    listed = crates.crates()
    (to / "Makefile.crates").write_text("CARGO_CRATES=\t" + " \\\n\t\t".join(listed) + "\n")
    files = {archive.name: archive.read_bytes()}
    files |= {f"rust/crates/{crate}.crate": crates.archive(crate, checksum) for crate, checksum in listed.items()}
    lines = [f"TIMESTAMP = {time}"]
    for name, content in files.items():
        lines += [f"SHA256 ({name}) = {hashlib.sha256(content).hexdigest()}", f"SIZE ({name}) = {len(content)}"]
    (to / "distinfo").write_text("\n".join(lines) + "\n")


def placeholders():
    """What the publisher still has to fill in: CONTRIBUTING.md, "Releases"."""
    return [
        f"{file}: {what}"
        for file, what, missing in (
            ("Cargo.toml", "repository", "example.org" in field("repository")),
            ("kmod/port/Makefile", "MAINTAINER", "ports@FreeBSD.org" in (TOP / "kmod/port/Makefile").read_text()),
            ("README.md", "where to ask", "no public home yet" in (TOP / "README.md").read_text()),
            ("SECURITY.md", "where to report", "no address yet" in (TOP / "SECURITY.md").read_text()),
            ("kmod/release.pub", "the public key", not (TOP / "kmod/release.pub").exists()),
        )
        if missing
    ]


def sign(sums, key):
    """Signs the checksums, so that `signify -C` verifies both them and the files."""
    tool = shutil.which("signify-openbsd") or "signify"
    subprocess.run([tool, "-S", "-e", "-s", key, "-m", sums, "-x", f"{sums}.sig"], check=True)


def main(to):
    heading = re.search("^## (.*)", (TOP / "CHANGELOG.md").read_text(), re.M)[1]
    if heading.split(",")[0] != version():
        sys.exit(f"Cargo.toml has version {version()}, but CHANGELOG.md begins with {heading}")
    if "not yet" in heading:
        print(f"a trial: CHANGELOG.md says {heading}")
    elif missing := placeholders():
        sys.exit("a release needs what CONTRIBUTING.md lists under Releases:\n" + "\n".join(missing))
    elif (TOP / ".git").exists() and git("status", "--porcelain"):
        sys.exit("what is released must be committed: git status")
    name = f"lagg-rs-{version()}"
    if to.exists() and not (to / "SHA256SUMS").exists():
        sys.exit(f"{to} is there, and is no release")
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    archive = to / f"{name}.tar.gz"
    time = tarball(archive, name)
    port(to / "port", archive, time)
    for module in sorted(TOP.glob("build/*/if_lagg_rs.ko")):
        # Those for kernels that watch are not for production.
        if not module.parent.name.endswith(("-kasan", "-kcsan")):
            shutil.copyfile(module, to / f"if_lagg_rs-{version()}-{module.parent.name}.ko")
    sums = to / "SHA256SUMS"
    files = sorted(p for p in to.rglob("*") if p.is_file())
    lines = [f"SHA256 ({p.relative_to(to)}) = {hashlib.sha256(p.read_bytes()).hexdigest()}\n" for p in files]
    sums.write_text("".join(lines))
    if key := os.environ.get("SIGN"):
        sign(sums, key)
    print("".join(lines), end="")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
