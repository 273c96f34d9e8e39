import hashlib
import lzma
import pathlib
import shutil
import subprocess
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent


class Image(unittest.TestCase):
    """The tool, with a site of our own."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        top = pathlib.Path(temporary.name)
        # It keeps images beside the tree that it is in.
        self.tool = top / "tests/vm/image"
        self.tool.parent.mkdir(parents=True)
        shutil.copy(HERE / "image", self.tool)
        self.kept = top / "build/images"
        self.site = top / "site"

    def publish(self, kind, release, directory, name, content, listed=None):
        place = self.site / kind / "VM-IMAGES" / release / directory / "Latest"
        place.mkdir(parents=True)
        packed = lzma.compress(content)
        checksum = listed or hashlib.sha256(packed).hexdigest()
        (place / name).write_bytes(packed)
        (place / "CHECKSUM.SHA256").write_text(f"SHA256 (other.xz) = {'0' * 64}\nSHA256 ({name}) = {checksum}\n")
        return checksum

    def image(self, *arguments):
        return subprocess.run([self.tool, *arguments], env={"IMAGES": f"file://{self.site}", "PATH": "/usr/bin:/bin"},
                              capture_output=True, text=True)

    def test_downloads_once(self):
        name = "FreeBSD-15.1-RELEASE-amd64-BASIC-CLOUDINIT-ufs.qcow2.xz"
        checksum = self.publish("releases", "15.1-RELEASE", "amd64", name, b"image")
        self.assertEqual(self.image("--checksum", "15.1-RELEASE").stdout.strip(), checksum)
        self.assertFalse(self.kept.exists())
        path = pathlib.Path(self.image("15.1-RELEASE").stdout.strip())
        self.assertEqual(path.read_bytes(), b"image")
        self.assertEqual(list(self.kept.iterdir()), [path])
        again = self.image("15.1-RELEASE")
        self.assertEqual((again.stdout.strip(), again.stderr), (str(path), ""))

    def test_snapshot_for_arm64(self):
        name = "FreeBSD-16.0-CURRENT-arm64-aarch64-BASIC-CLOUDINIT-ufs.qcow2.xz"
        self.publish("snapshots", "16.0-CURRENT", "aarch64", name, b"image")
        self.assertEqual(pathlib.Path(self.image("16.0-CURRENT", "arm64").stdout.strip()).read_bytes(), b"image")

    def test_refuses_what_is_not_what_was_published(self):
        name = "FreeBSD-15.0-RELEASE-amd64-BASIC-CLOUDINIT-ufs.qcow2.xz"
        self.publish("releases", "15.0-RELEASE", "amd64", name, b"image", listed="1" * 64)
        refused = self.image("15.0-RELEASE")
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("does not have the checksum", refused.stderr)
        self.assertEqual(list(self.kept.glob("*.qcow2")), [])


if __name__ == "__main__":
    unittest.main()
