import contextlib
import hashlib
import lzma
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest

HERE = pathlib.Path(__file__).resolve().parent
RELEASE = "FreeBSD-15.1-RELEASE-amd64-BASIC-CLOUDINIT-ufs.qcow2.xz"
# As FreeBSD names them: the date, the commit and the revision of the build.
SNAPSHOT = "FreeBSD-16.0-CURRENT-arm64-aarch64-BASIC-CLOUDINIT-20260928-36d3e711bc62-289650-ufs.qcow2.xz"
NEXT = "FreeBSD-16.0-CURRENT-arm64-aarch64-BASIC-CLOUDINIT-20261005-0123456789ab-289900-ufs.qcow2.xz"


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
        self.archive = top / "archive"

    def publish(self, place, name, content, listed=None):
        """A release's image is in Latest/, a snapshot's in a directory with its date. Latest/ has the checksums."""
        date = next((word for word in name.split("-") if len(word) == 8 and word.isdigit()), "Latest")
        packed = lzma.compress(content)
        checksum = listed or hashlib.sha256(packed).hexdigest()
        for directory in date, "Latest":
            (place / directory).mkdir(parents=True, exist_ok=True)
        (place / date / name).write_bytes(packed)
        lines = [f"SHA256 ({name.replace('ufs', 'zfs')}) = {'0' * 64}", f"SHA256 ({name}) = {checksum}"]
        (place / "Latest/CHECKSUM.SHA256").write_text("\n".join(lines) + "\n")
        return checksum

    def release(self, **options):
        return self.publish(self.site / "releases/VM-IMAGES/15.1-RELEASE/amd64", RELEASE, b"image", **options)

    def snapshot(self, name=SNAPSHOT):
        return self.publish(self.site / "snapshots/VM-IMAGES/16.0-CURRENT/aarch64", name, name.encode())

    def run_tool(self, *arguments):
        sites = {"IMAGES": f"file://{self.site}", "IMAGES_ARCHIVE": f"file://{self.archive}"}
        return subprocess.run([self.tool, *arguments], env={**sites, "PATH": "/usr/bin:/bin"}, capture_output=True,
                              text=True)

    def image(self, *arguments):
        done = self.run_tool(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def refused(self, *arguments):
        done = self.run_tool(*arguments)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        return done.stderr

    def go_offline(self):
        shutil.rmtree(self.site)

    def test_downloads_once(self):
        checksum = self.release()
        self.assertEqual(self.image("--checksum", "15.1-RELEASE"), checksum)
        self.assertEqual(list(self.kept.glob("*.qcow2")), [])
        path = pathlib.Path(self.image("15.1-RELEASE"))
        self.assertEqual(path, self.kept / f"{checksum}.qcow2")
        self.assertEqual(path.read_bytes(), b"image")
        self.assertEqual([p for p in self.kept.iterdir() if p.suffix != ".txt"], [path])
        self.go_offline()
        self.assertEqual(self.image("15.1-RELEASE"), str(path))
        self.assertEqual(self.image("--checksum", "15.1-RELEASE"), checksum)

    def test_a_snapshot_is_found_by_its_pattern(self):
        self.snapshot()
        path = pathlib.Path(self.image("16.0-CURRENT", "arm64"))
        self.assertEqual(path.read_bytes(), SNAPSHOT.encode())

    def test_a_snapshot_names_its_commit(self):
        self.snapshot()
        self.assertEqual(self.image("--commit", "16.0-CURRENT", "arm64"), "36d3e711bc62")
        self.release()
        self.assertIn("only snapshots do", self.refused("--commit", "15.1-RELEASE"))

    def test_image_and_commit_are_one_snapshots(self):
        first = self.snapshot()
        self.assertEqual(self.image("--checksum", "16.0-CURRENT", "arm64"), first)
        second = self.snapshot(NEXT)
        self.assertEqual(self.image("--commit", "16.0-CURRENT", "arm64"), "36d3e711bc62")
        self.assertIn(first, self.image("16.0-CURRENT", "arm64"))
        self.assertIn(second, self.image("--newest", "16.0-CURRENT", "arm64"))
        self.assertEqual(self.image("--commit", "16.0-CURRENT", "arm64"), "0123456789ab")

    def test_raw_for_bhyve(self):
        name = RELEASE.replace("qcow2", "raw")
        checksum = self.publish(self.site / "releases/VM-IMAGES/15.1-RELEASE/amd64", name, b"raw")
        self.assertEqual(self.image("--raw", "15.1-RELEASE"), str(self.kept / f"{checksum}.raw"))
        self.assertIn("lists no image", self.refused("15.1-RELEASE"))

    def test_old_releases_are_in_the_archive(self):
        name = RELEASE.replace("15.1", "14.3")
        self.publish(self.archive / "VM-IMAGES/14.3-RELEASE/amd64", name, b"old")
        self.assertEqual(pathlib.Path(self.image("14.3-RELEASE")).read_bytes(), b"old")

    def test_says_where_it_has_looked(self):
        stderr = self.refused("15.9-RELEASE")
        self.assertIn(f"{self.site}/releases/VM-IMAGES/15.9-RELEASE/amd64/Latest/CHECKSUM.SHA256: ", stderr)
        self.assertIn(f"{self.archive}/VM-IMAGES/15.9-RELEASE/amd64/Latest/CHECKSUM.SHA256: ", stderr)

    def test_says_what_a_system_lacks_that_knows_no_certificate(self):
        pem = self.tool.parent / "pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", pem, "-out", f"{pem}.crt", "-subj",
                        "/CN=localhost"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{pem}.crt", pem)
        with socket.create_server(("localhost", 0)) as server:
            thread = threading.Thread(target=self.shake_hands, args=(server, context))
            thread.start()
            site = f"https://localhost:{server.getsockname()[1]}"
            done = subprocess.run([self.tool, "16.0-CURRENT"], env={"IMAGES": site, "PATH": "/usr/bin:/bin"},
                                  capture_output=True, text=True)
            thread.join()
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("make setup installs ca-certificates", done.stderr)

    def shake_hands(self, server, context):
        client, _ = server.accept()
        with client, contextlib.suppress(OSError):
            context.wrap_socket(client, server_side=True)

    def test_refuses_what_is_not_what_was_published(self):
        self.release(listed="1" * 64)
        self.assertIn("does not have the checksum", self.refused("15.1-RELEASE"))
        self.assertEqual(list(self.kept.glob("*.qcow2")), [])


if __name__ == "__main__":
    unittest.main()
