#!/usr/bin/env python3
"""Makes a release, and builds its modules as the port does: from its list of crates, without a network, as another user,
in another place. All bytes must be the same. The port and what README.md says of a release are checked too."""

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
ARCHITECTURES = "amd64", "arm64"


def run(*command, **options):
    return subprocess.run(command, check=True, text=True, **options)


def make(source, to, **environment):
    """Makes a release of `source`."""
    run(sys.executable, "-B", source / "kmod/dist.py", to, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)


def values(makefile, name):
    """The words of a variable in a Makefile."""
    found = re.search(rf"^{name}=((?:.*\\\n)*.*)", makefile.read_text(), re.M)
    return found[1].replace("\\\n", " ").split()


def unpack(archive, to):
    with tarfile.open(archive) as files:
        files.extractall(to)


def check_files(dist, temporary):
    """The release is complete. Its files, put where a user has them, pass the command that README.md gives."""
    [archive] = dist.glob("lagg-rs-*.tar.gz")
    version = archive.name.removeprefix("lagg-rs-").removesuffix(".tar.gz")
    modules = {f"if_lagg_rs-{version}-freebsd15-{arch}.ko" for arch in ARCHITECTURES}
    names = {p.name for p in dist.iterdir()}
    assert modules | {archive.name, f"port-{version}.tar.gz", "SHA256SUMS", "SHA256SUMS.sig"} <= names, names
    readme = (TOP / "README.md").read_text()
    command = re.search(r"^    signify (-C .*)", readme, re.M)[1].split()
    user = temporary / "user"
    user.mkdir()
    for name in "SHA256SUMS", "SHA256SUMS.sig":
        shutil.copy(dist / name, user)
    shutil.copy(temporary / "key.pub", user / "release.pub")
    # One file is downloaded, then all of them.
    shutil.copy(archive, user)
    run("signify-openbsd", *command, archive.name, cwd=user, stdout=subprocess.DEVNULL)
    for name in names:
        shutil.copy(dist / name, user)
    run("signify-openbsd", *command, cwd=user, stdout=subprocess.DEVNULL)
    archive = user / archive.name
    archive.write_bytes(archive.read_bytes() + b"more")
    bad = subprocess.run(["signify-openbsd", *command], cwd=user, capture_output=True, text=True)
    assert bad.returncode == 1 and f"{archive.name}: FAIL" in bad.stdout + bad.stderr, bad
    # The names of modules that it gives are those of files.
    named = re.findall(r"if_lagg_rs-[\w.]+-freebsd\d+-\w+\.ko", readme)
    assert named and set(named) <= modules, named


def check_again(dist, source, to):
    """The unpacked release makes itself again, without what somebody has put there."""
    (source / "release.sec").write_text("a secret key\n")
    make(source, to, TZ="Asia/Tokyo", LC_ALL="C")
    for file in dist.glob("*.tar.gz"):
        assert file.read_bytes() == (to / file.name).read_bytes(), f"{file.name} differs"


# As the Porter's Handbook orders them
PORT_VARIABLES = """
PORTNAME DISTVERSION CATEGORIES MASTER_SITES PKGNAMESUFFIX DISTFILES
MAINTAINER COMMENT WWW LICENSE LICENSE_FILE ONLY_FOR_ARCHS ONLY_FOR_ARCHS_REASON IGNORE_FreeBSD_16 BUILD_DEPENDS USES
CARGO_BUILDDEP CARGO_CONFIGURE CARGO_BUILD CARGO_INSTALL CARGO_TEST PLIST_FILES
OPTIONS_DEFINE OPTIONS_DEFAULT LAGGSTAT_DESC TESTS_DESC LAGGSTAT_PLIST_FILES TESTS_PLIST_FILES MODULE_ARCH IGNORE
""".split()


def check_port(port, archive, temporary):
    """What portlint(1) and portclippy(1) look at, and what neither knows: it installs what `make install` does."""
    makefile = port / "Makefile"
    # What the port's framework asks for has a checksum.
    wanted = {f"rust/crates/{crate}.crate" for crate in values(port / "Makefile.crates", "CARGO_CRATES")}
    wanted |= {archive.name}
    lines = (port / "distinfo").read_text().splitlines()
    assert re.fullmatch(r"TIMESTAMP = \d+", lines[0]), lines[0]
    kinds = {kind: set(re.findall(rf"^{kind} \((.*)\) = \w+$", "\n".join(lines), re.M)) for kind in ("SHA256", "SIZE")}
    assert kinds["SHA256"] == kinds["SIZE"] == wanted and len(lines) == 1 + 2 * len(wanted), f"distinfo: {kinds}"
    assert values(makefile, "DISTFILES") == ["${DISTNAME}${EXTRACT_SUFX}"], "the port does not fetch its own source"
    assert archive.name == f"lagg-rs-{values(makefile, 'DISTVERSION')[0]}.tar.gz", archive
    text = makefile.read_text()
    assert not re.search("@[a-z]+@", text), "the port's Makefile has gaps"
    assert re.findall(r"^(\w+)=", text, re.M) == PORT_VARIABLES, "the order of variables"
    assert not re.search(r"[ \t]$|\n\n\n|^\w+= |^ ", text, re.M), "spaces"
    comment = " ".join(values(makefile, "COMMENT"))
    assert len(comment) <= 70 and comment[0].isupper() and not comment.endswith("."), comment
    description = (port / "pkg-descr").read_text().splitlines()
    assert len(description) <= 24 and max(map(len, description)) <= 80, "pkg-descr"
    tools = re.search(r"\| LLVM \| (\d+) \|", (TOP / "README.md").read_text())[1]
    assert f"llvm:{tools},build,noexport" in values(makefile, "USES"), f"LLVM {tools} in README.md"
    # The framework compresses manual pages.
    installed = {name.removesuffix(".gz") for option in ("", "LAGGSTAT_", "TESTS_") for name in
                 values(makefile, f"{option}PLIST_FILES")}
    root = temporary / "a root"
    module = f"KO={TOP}/build/amd64/if_lagg_rs.ko"
    run("make", "-s", "-C", TOP, "install", "install-tests", f"DESTDIR={root}", module, "KMODDIR=/usr/local/KMODDIR")
    for other in archive, TOP / "build/arm64/if_lagg_rs.ko":
        refused = subprocess.run(["make", "-s", "-C", TOP, "install", f"DESTDIR={root}", f"KO={other}"], capture_output=True, text=True)
        assert f"{other} is no module for amd64\n" in refused.stderr, refused.stderr
    ours = {str(p.relative_to(root / "usr/local")).replace("KMODDIR", "${KMODDIR}") for p in root.rglob("*") if p.is_file()}
    assert installed == ours, f"plist: {installed ^ ours}"
    run("make", "-s", "-C", TOP, "deinstall", f"DESTDIR={root}", "KMODDIR=/usr/local/KMODDIR", stdout=subprocess.DEVNULL)
    left = [p for p in root.rglob("*") if p.is_file()]
    assert not left, f"make deinstall leaves {left}"


# What the tree says while there is no release, and what a publisher may say instead
UNRELEASED = {"example.org": "example.net", "ports@FreeBSD.org": "somebody@example.net", "no public home": "a home",
              "placeholder": "word", "No release": "A release", "no address": "an address", ", not yet released": ", 2026-12-31"}
STALE = ["There has been no\nrelease.", "It is there from the first release on.", "A placeholder.", "no address yet"]


def check_placeholders(source, temporary):
    """What bears a date is not made while the publisher has something to fill in."""
    filled = temporary / "filled"
    shutil.copytree(source, filled)
    for name in "Cargo.toml", "kmod/port/Makefile", "README.md", "SECURITY.md", "CHANGELOG.md":
        text = (filled / name).read_text()
        for word, instead in UNRELEASED.items():
            text = text.replace(word, instead)
        (filled / name).write_text(text)
    key = filled / "kmod/release.pub"
    key.write_text("a key\n")
    make(filled, temporary / "dated")
    key.unlink()
    security = filled / "SECURITY.md"
    right = security.read_text()
    for sentence in STALE:
        security.write_text(f"{right}\n{sentence}\n")
        to = temporary / "refused"
        refused = subprocess.run([sys.executable, "-B", filled / "kmod/dist.py", to], capture_output=True, text=True)
        assert refused.returncode == 1 and not to.exists(), f"made with {sentence}"
        found = [line.split(":")[:2] for line in refused.stderr.splitlines()[1:]]
        where = ["SECURITY.md", str(right.count("\n") + 2)]
        assert found == [where, ["kmod/release.pub", " the public key is not there"]], (sentence, refused.stderr)


def check_modules(port, source, home):
    """The port's build gives the modules of build/."""
    crates = home / "crates"
    crates.mkdir(parents=True)
    for crate in values(port / "Makefile.crates", "CARGO_CRATES"):
        (source / "vendor" / crate).rename(crates / crate)
    shutil.rmtree(source / "vendor")
    (source / "build").mkdir()
    # The other user may not see this tree.
    for headers in TOP.glob("build/headers*"):
        shutil.copytree(headers, source / "build" / headers.name)
    other = []
    if os.getuid() == 0:
        run("chown", "-R", f"{NOBODY}", source, home)
        other = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "VENDOR": str(crates), "TZ": "America/Lima"}
    # What somebody has set for other programs.
    environment |= {"RUSTFLAGS": "-Copt-level=0", "CFLAGS": "-O0", "CARGO_PROFILE_RELEASE_OPT_LEVEL": "0"}
    environment |= {"BINDGEN_EXTRA_CLANG_ARGS": "-DINET6=0", "RUSTC_WRAPPER": "/nonexistent", "CPATH": "/usr/include"}
    for arch in ARCHITECTURES:
        run(*other, "kmod/build.sh", arch, cwd=source, env=environment)
        module = f"build/{arch}/if_lagg_rs.ko"
        assert (source / module).read_bytes() == (TOP / module).read_bytes(), f"the module differs from {module}"


def main():
    for arch in ARCHITECTURES:
        run(TOP / "kmod/build.sh", arch)
    with tempfile.TemporaryDirectory(dir="/tmp") as temporary:
        temporary = pathlib.Path(temporary)
        temporary.chmod(0o755)
        dist = temporary / "dist"
        run("signify-openbsd", "-G", "-n", "-p", temporary / "key.pub", "-s", temporary / "key.sec")
        make(TOP, dist, SIGN=str(temporary / "key.sec"))
        check_files(dist, temporary)
        [archive] = dist.glob("lagg-rs-*.tar.gz")
        for file in archive, *dist.glob("port-*.tar.gz"):
            unpack(file, temporary)
        source = temporary / archive.name.removesuffix(".tar.gz")
        port = temporary / "lagg-rs-kmod"
        check_port(port, archive, temporary)
        check_again(dist, source, temporary / "again")
        check_placeholders(source, temporary)
        check_modules(port, source, temporary / "home")
    print("the release is the same wherever and whenever it is made, and builds from the port's crates alone")


main()
