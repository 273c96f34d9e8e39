#!/usr/bin/env python3
"""Makes a release, and builds the amd64 module from it as the port does: from its list of crates, without a network, as
another user, in another place. All bytes must be the same."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent
NOBODY = 65534


def run(*command, **options):
    return subprocess.run(command, check=True, text=True, **options)


def make(source, to, **environment):
    """Makes a release of `source`."""
    run(sys.executable, "-B", source / "kmod/dist.py", to, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)


def values(makefile, name):
    """The words of a variable in a Makefile."""
    found = re.search(rf"^{name}=((?:.*\\\n)*.*)", makefile.read_text(), re.M)
    return found[1].replace("\\\n", " ").split()


def check_files(dist):
    """The release is complete, and its checksums are signed."""
    run("sha256sum", "--quiet", "--check", "SHA256SUMS", cwd=dist)
    run("signify-openbsd", "-C", "-q", "-p", "key.pub", "-x", "SHA256SUMS.sig", cwd=dist)
    names = {p.name.rsplit("-", 1)[-1] for p in dist.glob("*.ko")}
    assert {"amd64.ko", "arm64.ko"} <= names, f"modules: {names}"
    # What the port's framework asks for has a checksum.
    wanted = {f"rust/crates/{crate}.crate" for crate in values(dist / "port/Makefile.crates", "CARGO_CRATES")}
    wanted |= {p.name for p in dist.glob("*.tar.gz")}
    listed = set(re.findall(r"^SHA256 \((.*)\)", (dist / "port/distinfo").read_text(), re.M))
    assert listed == wanted, f"distinfo: {listed ^ wanted}"
    makefile = dist / "port/Makefile"
    assert values(makefile, "DISTFILES") == ["${DISTNAME}${EXTRACT_SUFX}"], "the port does not fetch its own source"
    assert not re.search("@[a-z]+@", makefile.read_text()), "the port's Makefile has gaps"
    [archive] = dist.glob("*.tar.gz")
    [version] = values(makefile, "DISTVERSION")
    assert archive.name == f"lagg-rs-{version}.tar.gz", archive


def check_again(dist, source, to):
    """The unpacked release makes itself again."""
    make(source, to, TZ="Asia/Tokyo", LC_ALL="C")
    for file in [*dist.glob("*.tar.gz"), *dist.glob("port/*")]:
        assert file.read_bytes() == (to / file.relative_to(dist)).read_bytes(), f"{file.name} differs"


def check_placeholders(source, temporary):
    """What bears a date is not made while the publisher has something to fill in."""
    filled = temporary / "filled"
    shutil.copytree(source, filled)
    words = {"example.org": "example.net", "ports@FreeBSD.org": "somebody@example.net",
             "no public home yet": "a home", "no address yet": "an address", ", not yet released": ", 2026-12-31"}
    for name in "Cargo.toml", "kmod/port/Makefile", "README.md", "SECURITY.md", "CHANGELOG.md":
        text = (filled / name).read_text()
        for word, instead in words.items():
            text = text.replace(word, instead)
        (filled / name).write_text(text)
    key = filled / "kmod/release.pub"
    key.write_text("a key\n")
    make(filled, temporary / "dated")
    key.unlink()
    (filled / "SECURITY.md").write_text("There is no address yet.\n")
    to = temporary / "refused"
    refused = subprocess.run([sys.executable, "-B", filled / "kmod/dist.py", to], capture_output=True, text=True)
    assert refused.returncode == 1 and not to.exists(), "made with placeholders"
    found = [line.split(":")[0] for line in refused.stderr.splitlines()[1:]]
    assert found == ["SECURITY.md", "kmod/release.pub"], refused.stderr


def check_module(dist, source, home):
    """The port's build gives the module of build/."""
    crates = home / "crates"
    crates.mkdir(parents=True)
    for crate in values(dist / "port/Makefile.crates", "CARGO_CRATES"):
        (source / "vendor" / crate).rename(crates / crate)
    shutil.rmtree(source / "vendor")
    (source / "build").mkdir()
    for headers in TOP.glob("build/headers*"):
        (source / "build" / headers.name).symlink_to(headers)
    other = []
    if os.getuid() == 0:
        run("chown", "-R", f"{NOBODY}", source, home)
        other = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "VENDOR": str(crates), "TZ": "America/Lima"}
    # What somebody has set for other programs.
    environment |= {"RUSTFLAGS": "-Copt-level=0", "CFLAGS": "-O0"}
    run(*other, "kmod/build.sh", "amd64", cwd=source, env=environment)
    module = "build/amd64/if_lagg_rs.ko"
    assert (source / module).read_bytes() == (TOP / module).read_bytes(), "the module differs from build/amd64's"


def main():
    for arch in "amd64", "arm64":
        run(TOP / "kmod/build.sh", arch)
    with tempfile.TemporaryDirectory(dir="/tmp") as temporary:
        temporary = pathlib.Path(temporary)
        temporary.chmod(0o755)
        dist = temporary / "dist"
        run("signify-openbsd", "-G", "-n", "-p", temporary / "key.pub", "-s", temporary / "key.sec")
        make(TOP, dist, SIGN=str(temporary / "key.sec"))
        shutil.copy(temporary / "key.pub", dist)
        check_files(dist)
        [archive] = dist.glob("*.tar.gz")
        with tarfile.open(archive) as files:
            files.extractall(temporary)
        source = temporary / archive.name.removesuffix(".tar.gz")
        check_again(dist, source, temporary / "again")
        check_placeholders(source, temporary)
        check_module(dist, source, temporary / "home")
    print("the release is the same wherever and whenever it is made, and builds from the port's crates alone")


main()
