"""Tests of kmod/setup.sh: what it would fetch. On Linux alone; nothing is installed or downloaded."""

import pathlib
import platform
import shutil
import subprocess
import tempfile
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
# Neither apt-get nor pip gets to the network.
PROGRAMS = {"apt-get": "exit 1", "python3": ":"}
OFFLINE = {"PIP_NO_INDEX": "1", "CI": "true"}


@unittest.skipUnless(platform.system() == "Linux", "FreeBSD has its own headers")
class Setup(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.top = pathlib.Path(temporary.name)
        shutil.copytree(TOP / "kmod", self.top / "tree/kmod")
        shutil.copy(TOP / "Cargo.toml", self.top / "tree")
        (self.top / "tree/tests").mkdir()
        shutil.copy(TOP / "tests/wheels.txt", self.top / "tree/tests")
        self.source = self.top / "sys"
        (self.source / "conf").mkdir(parents=True)
        (self.source / "conf/kmod.mk").touch()
        self.bin = self.top / "bin"
        self.bin.mkdir()
        for name, command in PROGRAMS.items():
            (self.bin / name).write_text(f"#!/bin/sh\n{command}\n")
            (self.bin / name).chmod(0o755)

    def run_setup(self, *purpose, **environment):
        """Its exit status and all that it has said."""
        environment["PATH"] = f"{self.bin}:/usr/sbin:/usr/bin:/sbin:/bin"
        # QEMU is not what is tested.
        environment |= {"QEMU": "qemu", **OFFLINE}
        done = subprocess.run([self.top / "tree/kmod/setup.sh", *purpose], env=environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def test_a_kernels_source_has_what_the_module_needs(self):
        self.assertEqual(self.run_setup(SYSDIR=str(self.source)), (0, ""))

    def test_the_programs_for_a_virtual_machine_need_more(self):
        status, said = self.run_setup("vm", SYSDIR=str(self.source))
        self.assertEqual(status, 1)
        self.assertIn("fetching FreeBSD 15's headers", said)

    def test_a_release_and_a_source_are_refused_together(self):
        for purpose in ("", "vm", "test"):
            status, said = self.run_setup(purpose, FREEBSD="14", SYSDIR=str(self.source))
            self.assertEqual(status, 1)
            self.assertIn(f"FREEBSD=14 and SYSDIR={self.source}: say one of them", said)
            self.assertEqual(said.count("\n"), 1)

    def test_an_unknown_release_is_refused(self):
        status, said = self.run_setup(FREEBSD="13")
        self.assertEqual(status, 1)
        self.assertIn("only 14 and 15 are known here", said)


if __name__ == "__main__":
    unittest.main()
