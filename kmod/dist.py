#!/usr/bin/env python3
"""kmod/dist.py DIRECTORY: makes a release there: the source with the module's crates, the modules of build/, the port, and
checksums. It has no folders, as what is published has none. The same source gives the same bytes. SIGN=KEY signs the
checksums with signify(1). `make dist` calls it."""

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
# The names of the files of a source that was released: others in its tree are somebody's own.
LIST = TOP / "vendor/FILES"


def field(name):
    """A field of the package in Cargo.toml."""
    return tomllib.loads((TOP / "Cargo.toml").read_text())["package"][name]


def version():
    return field("version")


def git(*arguments):
    # Whoever releases it need not own the tree: root may.
    command = ["git", "-c", f"safe.directory={TOP}", *arguments]
    result = subprocess.run(command, cwd=TOP, stdout=subprocess.PIPE, text=True)
    return result.stdout if result.returncode == 0 else sys.exit(result.returncode)


def sources():
    """The files of the source, and the time that they bear: that of the commit, which an unpacked release keeps."""
    if (TOP / ".git").exists():
        files, time = git("ls-files", "-z").split("\0")[:-1], int(git("log", "-1", "--format=%ct"))
    elif LIST.exists():
        files, time = LIST.read_text().splitlines(), int((TOP / "Cargo.toml").stat().st_mtime)
    else:
        sys.exit(f"a release is made in a clone, or in a source that make dist has made: there is no .git and no {LIST}")
    if missing := [file for file in files if not (TOP / file).is_file()]:
        sys.exit("these files of the source are missing: " + ", ".join(missing))
    return [pathlib.Path(file) for file in files], time


def pack(to, contents, time):
    """Makes an archive of `contents`, {path: file}."""
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


def below(directory):
    """The files of a directory, as `pack` wants them."""
    return {p.relative_to(directory): p for p in directory.rglob("*") if p.is_file()}


def source(to, name):
    """The source with the module's crates."""
    files, time = sources()
    with tempfile.TemporaryDirectory() as vendor:
        crates.unpack(pathlib.Path(vendor))
        pathlib.Path(vendor, LIST.name).write_text("".join(f"{file}\n" for file in files))
        contents = {pathlib.Path(name, p): TOP / p for p in files}
        contents |= {pathlib.Path(name, "vendor", p): file for p, file in below(pathlib.Path(vendor)).items()}
        pack(to, contents, time)
    return time


def port(to, archive, time):
    """The port, whose directory the ports tree takes as it is. What is filled in and added here is known once there is a
    release."""
    with tempfile.TemporaryDirectory() as temporary:
        port_files(pathlib.Path(temporary, "lagg-rs-kmod"), archive, time)
        pack(to, below(pathlib.Path(temporary)), time)


def port_files(to, archive, time):
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
    """What is not true of a release, and what only its publisher knows: CONTRIBUTING.md, "Releases"."""
    words = "example.org", "ports@FreeBSD.org", "placeholder", "no public home", "no address", "no release", "first release"
    found = []
    for name in "Cargo.toml", "README.md", "SECURITY.md", "kmod/port/Makefile":
        text = (TOP / name).read_text()
        for word in words:
            # A line may end anywhere in it.
            for match in re.finditer(re.escape(word).replace(r"\ ", r"\s+"), text, re.I):
                found.append(f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {word}")
    if not (TOP / "kmod/release.pub").exists():
        found.append("kmod/release.pub: the public key is not there")
    return found


def sign(sums, key):
    """Signs the checksums, so that `signify -C` verifies both them and the files."""
    tool = shutil.which("signify-openbsd") or "signify"
    subprocess.run([tool, "-S", "-e", "-s", key, "-m", sums, "-x", f"{sums}.sig"], check=True)


def main(to):
    heading = re.search("^## (.*)", (TOP / "CHANGELOG.md").read_text(), re.M)[1]
    if heading.split(",")[0] != version():
        sys.exit(f"Cargo.toml has version {version()}, but CHANGELOG.md begins with {heading}")
    changed = (TOP / ".git").exists() and git("status", "--porcelain")
    if "not yet" in heading:
        print(f"a trial: CHANGELOG.md says {heading}")
        if changed:
            print(f"not committed, and perhaps in it:\n{changed}", end="")
    elif missing := placeholders():
        sys.exit("a release needs what CONTRIBUTING.md lists under Releases:\n" + "\n".join(missing))
    elif changed:
        sys.exit("what is released must be committed: git status")
    if to.exists() and not (to / "SHA256SUMS").exists():
        sys.exit(f"{to} is there, and is no release")
    to.parent.mkdir(parents=True, exist_ok=True)
    # It is there as a whole, or not at all.
    with tempfile.TemporaryDirectory(dir=to.parent) as temporary:
        made = pathlib.Path(temporary, to.name)
        made.mkdir()
        release(made)
        shutil.rmtree(to, ignore_errors=True)
        made.rename(to)
    print((to / "SHA256SUMS").read_text(), end="")


def release(to):
    """Makes the files of the release."""
    name = f"lagg-rs-{version()}"
    archive = to / f"{name}.tar.gz"
    time = source(archive, name)
    port(to / f"port-{version()}.tar.gz", archive, time)
    for module in sorted(TOP.glob("build/*/if_lagg_rs.ko")):
        arch, *variant = module.parent.name.split("-")
        # Those for kernels that watch are not for production.
        if variant in ([], ["freebsd14"]):
            branch = variant[0] if variant else "freebsd15"
            shutil.copyfile(module, to / f"if_lagg_rs-{version()}-{branch}-{arch}.ko")
    sums = to / "SHA256SUMS"
    lines = [f"SHA256 ({p.name}) = {hashlib.sha256(p.read_bytes()).hexdigest()}\n" for p in sorted(to.iterdir())]
    sums.write_text("".join(lines))
    if key := os.environ.get("SIGN"):
        sign(sums, key)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
